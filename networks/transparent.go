package networks

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// transparentTable is the routing table for replies to clients whose address is
// elsewhere.
const transparentTable = 127

// AllowTransparent brings the replies of programs in a network namespace back to
// a proxy there that connects to them, at a loopback address, from the address
// of a client that is elsewhere (IP_TRANSPARENT): what is sent from a loopback
// address stays inside, wherever it is sent to. Nothing else is touched, since
// nothing else leaves from such an address. It may be called again.
func AllowTransparent(netns *os.File, do func(netns *os.File, f func() error) error) error {
	return do(netns, func() error {
		c, err := netlink.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return fail("speak to", "the pod's network namespace", err)
		}
		defer c.Close()
		if err := bringBack(c, unix.AF_INET, netip.MustParsePrefix("127.0.0.0/8")); err != nil {
			return fail("bring back", "replies to clients elsewhere", err)
		}
		if !hasIPv6() {
			return nil
		}
		return fail("bring back", "replies to clients elsewhere", bringBack(c, unix.AF_INET6, netip.MustParsePrefix("::1/128")))
	})
}

// bringBack is `ip rule add from FROM lookup 127` and `ip route add local
// default dev lo table 127`.
func bringBack(c *netlink.Conn, family byte, from netip.Prefix) error {
	const added, loopback = unix.NLM_F_CREATE | unix.NLM_F_EXCL, 1
	// struct fib_rule_hdr: family, lengths of the prefixes, tos, table, two
	// reserved, action, flags.
	rule := []byte{family, 0, byte(from.Bits()), 0, transparentTable, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0}
	// struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags.
	route := []byte{family, 0, 0, 0, transparentTable, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
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
