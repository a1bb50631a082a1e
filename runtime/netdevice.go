package runtime

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// checkNetDevices refuses devices that no network namespace is there for, and
// names that the kernel would.
func checkNetDevices(list map[string]specs.LinuxNetDevice, m *membership) error {
	for name, d := range list {
		for _, s := range []string{name, d.Name} {
			if s == "." || s == ".." || len(s) >= unix.IFNAMSIZ || strings.ContainsAny(s, "/: \t\n\x00") || name == "" {
				return fmt.Errorf("linux.netDevices %q: %q is no name of a network device", name, s)
			}
		}
		if !m.has(unix.CLONE_NEWNET) && !m.joins(namespaces.Network) {
			return fmt.Errorf(`linux.netDevices %q: there is no network namespace to move it to: add {"type": "network"} to linux.namespaces`, name)
		}
	}
	return nil
}

// netDevice is a device of the host's, as it was there.
type netDevice struct {
	index     uint32
	addresses [][]byte // answers to RTM_GETADDR
}

// moveNetDevices moves devices of the host into the network namespace of pid,
// with their permanent global addresses, and brings them up. The kernel keeps
// the rest, and takes physical devices back when the namespace ends.
func moveNetDevices(list map[string]specs.LinuxNetDevice, pid int) error {
	if len(list) == 0 {
		return nil
	}
	ns, err := namespaces.Open(namespaces.Network, fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	here, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer here.Close()
	var there *netlink.Conn
	err = namespaces.Do(ns, func() (err error) {
		there, err = netlink.Open(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return err
	}
	defer there.Close()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if err := moveNetDevice(here, there, ns, name, list[name].Name); err != nil {
			return fmt.Errorf("linux.netDevices %q: %w", name, err)
		}
	}
	return nil
}

func moveNetDevice(here, there *netlink.Conn, ns *os.File, name, as string) error {
	if as == "" {
		as = name
	}
	d, err := findNetDevice(here, name)
	if err != nil {
		return err
	}
	// The kernel moves a device before it finds that its name is taken. A
	// template such as eth%d it fills in itself.
	taken := netlink.New(unix.RTM_GETLINK, 0, ifinfo(0, 0)).String(unix.IFLA_IFNAME, as)
	if !strings.Contains(as, "%d") && there.Get(taken, func([]byte) {}) == nil {
		return fmt.Errorf("move it into the container as %s: %w", as, unix.EEXIST)
	}
	// Its index may be another one there, and the kernel may choose its name.
	before, err := linkIndexes(there)
	if err != nil {
		return err
	}
	m := netlink.New(unix.RTM_SETLINK, 0, ifinfo(d.index, 0)).
		Uint32(unix.IFLA_NET_NS_FD, uint32(ns.Fd())).String(unix.IFLA_IFNAME, as)
	if err := here.Do(m); err != nil {
		return fmt.Errorf("move it into the container as %s: %w", as, err)
	}
	after, err := linkIndexes(there)
	if err != nil {
		return err
	}
	for index := range after {
		if !before[index] {
			return d.restore(there, index)
		}
	}
	return fmt.Errorf("find it in the container: %w", unix.ENODEV)
}

// restore gives a device that was moved its addresses back, and brings it up.
func (d *netDevice) restore(there *netlink.Conn, index uint32) error {
	for _, a := range d.addresses {
		header := slices.Clone(a[:unix.SizeofIfAddrmsg])
		binary.NativeEndian.PutUint32(header[4:], index)
		m := netlink.New(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, header)
		for typ, value := range netlink.Attributes(a[unix.SizeofIfAddrmsg:]) {
			switch typ {
			case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_FLAGS:
				m.Attr(typ, value)
			}
		}
		if err := there.Do(m); err != nil {
			return fmt.Errorf("give it its address back: %w", err)
		}
	}
	if err := there.Do(netlink.New(unix.RTM_NEWLINK, 0, ifinfo(index, unix.IFF_UP))); err != nil {
		return fmt.Errorf("bring it up in the container: %w", err)
	}
	return nil
}

// findNetDevice looks at a device of the host.
func findNetDevice(c *netlink.Conn, name string) (*netDevice, error) {
	d := &netDevice{}
	ask := netlink.New(unix.RTM_GETLINK, 0, ifinfo(0, 0)).String(unix.IFLA_IFNAME, name)
	err := c.Get(ask, func(body []byte) { d.index = uint32(netlink.Number(body[4:8])) })
	if err != nil {
		return nil, fmt.Errorf("find it on the host: %w", err)
	}
	all := netlink.New(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	err = c.Get(all, func(body []byte) {
		flags := uint32(body[2])
		for typ, value := range netlink.Attributes(body[unix.SizeofIfAddrmsg:]) {
			if typ == unix.IFA_FLAGS {
				flags = uint32(netlink.Number(value))
			}
		}
		if uint32(netlink.Number(body[4:8])) == d.index && body[3] == unix.RT_SCOPE_UNIVERSE && flags&unix.IFA_F_PERMANENT != 0 {
			d.addresses = append(d.addresses, slices.Clone(body))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list its addresses: %w", err)
	}
	return d, nil
}

// linkIndexes are those of all devices of a namespace.
func linkIndexes(c *netlink.Conn) (map[uint32]bool, error) {
	list := map[uint32]bool{}
	err := c.Get(netlink.New(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfo(0, 0)), func(body []byte) {
		list[uint32(netlink.Number(body[4:8]))] = true
	})
	if err != nil {
		return nil, fmt.Errorf("list the container's network devices: %w", err)
	}
	return list, nil
}

// ifinfo lays struct ifinfomsg out (rtnetlink(7)).
func ifinfo(index, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], flags) // the change mask
	return b
}
