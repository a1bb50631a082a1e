package networks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// link is a network interface.
type link struct {
	index int
	name  string
	kind  string // "bridge", "veth"…
	mtu   int
	up    bool
	// hardware is its address on the link layer.
	hardware []byte
}

func isBridge(l link) bool { return l.kind == "bridge" }

// ours tells whether a link is a bridge that this package made, by its hardware
// address: to others belong what they know nothing of, addresses of a whole
// network for instance.
func (l link) ours() bool { return isBridge(l) && bytes.HasPrefix(l.hardware, hardwarePrefix) }

func isPair(l link) bool { return l.kind == "veth" }

// which names a link in a question.
type which func() *netlink.Message

func linkIndex(index int) which {
	return func() *netlink.Message { return netlink.New(unix.RTM_GETLINK, 0, linkHeader(index, 0)) }
}

func linkNamed(name string) which {
	return func() *netlink.Message {
		return netlink.New(unix.RTM_GETLINK, 0, linkHeader(0, 0)).String(unix.IFLA_IFNAME, name)
	}
}

// findLink asks for a link; the error is ENODEV where there is none.
func findLink(c *netlink.Conn, w which) (l link, err error) {
	err = c.Get(w(), func(body []byte) { l = parseLink(body) })
	return l, err
}

// parseLink reads a struct ifinfomsg and its attributes.
func parseLink(body []byte) (l link) {
	if len(body) < unix.SizeofIfInfomsg {
		return l
	}
	l.index = int(netlink.Number(body[4:8]))
	l.up = netlink.Number(body[8:12])&unix.IFF_UP != 0
	for typ, value := range netlink.Attributes(body[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = netlink.Text(value)
		case unix.IFLA_ADDRESS:
			l.hardware = bytes.Clone(value)
		case unix.IFLA_MTU:
			l.mtu = int(netlink.Number(value))
		case unix.IFLA_LINKINFO:
			for typ, value := range netlink.Attributes(value) {
				if typ == unix.IFLA_INFO_KIND {
					l.kind = netlink.Text(value)
				}
			}
		}
	}
	return l
}

// linkHeader is a struct ifinfomsg; flags are set and no others changed.
func linkHeader(index int, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], flags)
	return b
}

// addBridge is the message for a new bridge that is up. Its own hardware
// address keeps it from taking that of whichever link joined it last.
func addBridge(name string, mtu int, gateway netip.Addr) *netlink.Message {
	m := netlink.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, unix.IFF_UP))
	m.String(unix.IFLA_IFNAME, name).Uint32(unix.IFLA_MTU, uint32(mtu)).Attr(unix.IFLA_ADDRESS, hardware(gateway))
	return m.Nest(unix.IFLA_LINKINFO, func() { m.String(unix.IFLA_INFO_KIND, "bridge") })
}

// vethInfoPeer is VETH_INFO_PEER of linux/veth.h.
const vethInfoPeer = 1

// pair is two links that are the ends of one cable.
type pair struct {
	name     string // of the one on the host
	hardware []byte
	bridge   link     // that it is connected to, if any
	netns    *os.File // where the other one is, which is called eth0
	address  []byte   // the hardware address of that one
}

// add is the message that makes the pair: the link on the host is up, the other
// cannot be yet.
func (p *pair) add() *netlink.Message {
	m := netlink.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, unix.IFF_UP))
	m.String(unix.IFLA_IFNAME, p.name).Uint32(unix.IFLA_MTU, uint32(p.bridge.mtu)).Attr(unix.IFLA_ADDRESS, p.hardware)
	if p.bridge.index != 0 {
		m.Uint32(unix.IFLA_MASTER, uint32(p.bridge.index))
	}
	return m.Nest(unix.IFLA_LINKINFO, func() {
		m.String(unix.IFLA_INFO_KIND, "veth")
		m.Nest(unix.IFLA_INFO_DATA, func() {
			m.Nest(vethInfoPeer, func() {
				m.Append(linkHeader(0, 0))
				m.String(unix.IFLA_IFNAME, inside).Uint32(unix.IFLA_MTU, uint32(p.bridge.mtu))
				m.Attr(unix.IFLA_ADDRESS, p.address)
				m.Uint32(unix.IFLA_NET_NS_FD, uint32(p.netns.Fd()))
			})
		})
	})
}

// hairpin is the message that lets a bridge send packets back to the link that
// they came from: a pod may meet itself behind an address of the host.
func hairpin(name string) *netlink.Message {
	m := netlink.New(unix.RTM_NEWLINK, 0, linkHeader(0, 0)).String(unix.IFLA_IFNAME, name)
	return m.Nest(unix.IFLA_LINKINFO, func() {
		m.String(unix.IFLA_INFO_SLAVE_KIND, "bridge")
		m.Nest(unix.IFLA_INFO_SLAVE_DATA, func() { m.Uint8(unix.IFLA_BRPORT_MODE, 1) })
	})
}

func setUp(index int) *netlink.Message {
	return netlink.New(unix.RTM_NEWLINK, 0, linkHeader(index, unix.IFF_UP))
}

// deleteLink removes a link, if there is one of the name, and the right one.
func deleteLink(c *netlink.Conn, name string, right func(link) bool) error {
	l, err := findLink(c, linkNamed(name))
	if err == nil && right(l) {
		err = c.Do(netlink.New(unix.RTM_DELLINK, 0, linkHeader(l.index, 0)))
	}
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fail("remove", "link "+name, err)
}

// deleteTogether lists the messages that remove links in half of the time that
// it takes one by one: they become a group, of a number that nobody else chooses,
// and the group is deleted.
func deleteTogether(list []link) (m []*netlink.Message) {
	group := uint32(0x70650000 | list[0].index&0xffff)
	for _, l := range list {
		m = append(m, netlink.New(unix.RTM_NEWLINK, 0, linkHeader(l.index, 0)).Uint32(unix.IFLA_GROUP, group))
	}
	return append(m, netlink.New(unix.RTM_DELLINK, 0, linkHeader(0, 0)).Uint32(unix.IFLA_GROUP, group))
}
