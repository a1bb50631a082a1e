package networks

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// route is one that the host has.
type route struct {
	to       netip.Prefix
	link     int
	gateway  bool
	protocol byte // who made it: RTPROT_…
}

// listRoutes lists the host's routes of all tables, other than default ones
// and those over the link called except.
func listRoutes(c *netlink.Conn, except int) ([]route, error) {
	var list []route
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		ask := netlink.New(unix.RTM_GETROUTE, unix.NLM_F_DUMP, routeHeader(family, 0))
		err := c.Get(ask, func(body []byte) {
			if r, ok := parseRoute(body); ok && r.to.Bits() > 0 && r.link != except {
				list = append(list, r)
			}
		})
		if err != nil {
			return nil, fail("list", "the host's routes", err)
		}
	}
	return list, nil
}

// parseRoute reads a struct rtmsg and its attributes.
func parseRoute(body []byte) (r route, ok bool) {
	if len(body) < unix.SizeofRtMsg {
		return r, false
	}
	bits := int(body[1])
	r.protocol = body[5]
	for typ, value := range netlink.Attributes(body[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			if addr, valid := netip.AddrFromSlice(value); valid {
				r.to = netip.PrefixFrom(addr, bits)
			}
		case unix.RTA_OIF:
			r.link = int(netlink.Number(value))
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_MULTIPATH:
			r.gateway = true
		}
	}
	return r, r.to.IsValid()
}

// clash finds a route that a subnet would take packets from, or that would take
// packets from the subnet: one into a part of it, or one to neighbours among
// whom it lies. A wider route over a gateway is none: the narrower wins.
func clash(subnet netip.Prefix, list []route) error {
	for _, r := range list {
		if r.to.Overlaps(subnet) && (!r.gateway || r.to.Bits() >= subnet.Bits()) {
			return fmt.Errorf("%w: the host has a route to %s (ip route get %s)", ErrClash, r.to, r.to.Addr())
		}
	}
	return nil
}

// defaultMTU is the MTU of the link on which the host reaches the world.
func defaultMTU(c *netlink.Conn) int {
	for _, to := range []netip.Addr{netip.AddrFrom4([4]byte{1, 1, 1, 1}), netip.MustParseAddr("2606:4700:4700::1111")} {
		family := byte(unix.AF_INET)
		if to.Is6() {
			family = unix.AF_INET6
		}
		ask := netlink.New(unix.RTM_GETROUTE, 0, routeHeader(family, to.BitLen())).Attr(unix.RTA_DST, to.AsSlice())
		index := 0
		err := c.Get(ask, func(body []byte) {
			if r, ok := parseRoute(body); ok {
				index = r.link
			}
		})
		if err != nil || index == 0 {
			continue
		}
		if l, err := findLink(c, linkIndex(index)); err == nil && l.mtu >= 1280 {
			return min(l.mtu, 65535)
		}
	}
	return 1500
}

// routeHeader is a struct rtmsg for a question.
func routeHeader(family byte, bits int) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0], b[1] = family, byte(bits)
	return b
}

// addRoute is the message for a default route by a gateway over a link.
func addRoute(index int, gateway netip.Addr) *netlink.Message {
	b := routeHeader(family(gateway), 0)
	b[4], b[5], b[6], b[7] = unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST
	m := netlink.New(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
	m.Attr(unix.RTA_GATEWAY, gateway.AsSlice())
	return m.Uint32(unix.RTA_OIF, uint32(index))
}

// addAddress is the message for an address of a link. Nobody else has it, so
// that it need not be tried out first (duplicate address detection takes a
// second).
func addAddress(index int, p netip.Prefix) *netlink.Message {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0], b[1], b[2] = family(p.Addr()), byte(p.Bits()), unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	m := netlink.New(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
	m.Attr(unix.IFA_LOCAL, p.Addr().AsSlice()).Attr(unix.IFA_ADDRESS, p.Addr().AsSlice())
	if p.Addr().Is4() {
		m.Attr(unix.IFA_BROADCAST, broadcast(p))
	}
	return m
}

func broadcast(p netip.Prefix) []byte {
	b := p.Addr().AsSlice()
	n := binary.BigEndian.Uint32(b) | (1<<(32-p.Bits()) - 1)
	return binary.BigEndian.AppendUint32(nil, n)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// listAddresses lists the addresses of a link that are good beyond it.
func listAddresses(c *netlink.Conn, index int) ([]netip.Prefix, error) {
	var list []netip.Prefix
	b := make([]byte, unix.SizeofIfAddrmsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	err := c.Get(netlink.New(unix.RTM_GETADDR, unix.NLM_F_DUMP, b), func(body []byte) {
		if p, of, ok := parseAddress(body); ok && of == index && p.Addr().IsGlobalUnicast() {
			list = append(list, p)
		}
	})
	return list, err
}

// parseAddress reads a struct ifaddrmsg and its attributes.
func parseAddress(body []byte) (p netip.Prefix, index int, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return p, 0, false
	}
	for typ, value := range netlink.Attributes(body[unix.SizeofIfAddrmsg:]) {
		addr, valid := netip.AddrFromSlice(value)
		if valid && (typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS && !p.IsValid()) {
			p = netip.PrefixFrom(addr, int(body[1]))
		}
	}
	return p, int(netlink.Number(body[4:8])), p.IsValid()
}
