package networks

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// transparentTable is the routing table for replies to clients whose address is
// elsewhere.
const transparentTable = 127

// AllowTransparent brings the replies of programs in a network namespace back to
// a proxy there that connects to them, at an address of 127/8, from the address
// of a client that is elsewhere (IP_TRANSPARENT): what is sent from a loopback
// address stays inside, wherever it is sent to. Nothing else is touched, since
// nothing else leaves from such an address. It may be called again.
//
// The namespace is that of a socket of the family NETLINK_ROUTE, which it takes over.
func AllowTransparent(socket int) error {
	c := netlink.Adopt(socket)
	defer c.Close()
	return fail("bring back", "replies to clients elsewhere", bringBack(c, netip.MustParsePrefix("127.0.0.0/8")))
}

// bringBack is `ip rule add from FROM lookup 127` and `ip route add local
// default dev lo table 127`, of IPv4.
func bringBack(c *netlink.Conn, from netip.Prefix) error {
	const added = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	// struct fib_rule_hdr: family, lengths of the prefixes, tos, table, two
	// reserved, action, flags.
	rule := []byte{unix.AF_INET, 0, byte(from.Bits()), 0, transparentTable, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0}
	// struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags.
	route := []byte{unix.AF_INET, 0, 0, 0, transparentTable, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
	for _, m := range []*netlink.Message{
		netlink.New(unix.RTM_NEWROUTE, added, route).Uint32(unix.RTA_OIF, loopback),
		netlink.New(unix.RTM_NEWRULE, added, rule).Attr(unix.FRA_SRC, from.Addr().AsSlice()),
	} {
		if err := c.Do(m); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}
