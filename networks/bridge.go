package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// bridge is one of the host's that pods are connected to.
type bridge struct {
	link
	// gateways are its own addresses, at most one of each family.
	gateways []netip.Prefix
}

func (b *bridge) subnets() (list []netip.Prefix) {
	for _, p := range b.gateways {
		list = append(list, p.Masked())
	}
	return list
}

// numbers goes through the numbers from after on, and then through those
// before, that are no gateway's.
func (b *bridge) numbers(after int, yield func(int) bool) {
	last := highest(b.subnets())
	span := last - firstNumber + 1
	if after < firstNumber || after > last {
		after = last
	}
	for i := range span {
		n := firstNumber + (after-firstNumber+1+i)%span
		mine := slices.ContainsFunc(b.gateways, func(g netip.Prefix) bool { return numbered(g, n) == g })
		if !mine && !yield(n) {
			return
		}
	}
}

// ensureBridge finds the bridge, or makes it, with all that belongs to it.
//
// Preconditions: the bridges are locked; c belongs to the host.
func ensureBridge(c *netlink.Conn, s *Spec) (*bridge, error) {
	l, err := findLink(c, linkNamed(s.Name))
	if errors.Is(err, unix.ENODEV) {
		return newBridge(c, s)
	}
	if err == nil && !l.ours() {
		err = fmt.Errorf("%w: the host has a link of this name that peapod did not make; choose another", ErrExist)
	}
	if err != nil {
		return nil, fail("use", "bridge "+s.Name, err)
	}
	b := &bridge{link: l}
	if b.gateways, err = listAddresses(c, l.index); err != nil {
		return nil, fail("list the addresses of", "bridge "+s.Name, err)
	}
	if len(b.gateways) == 0 || !l.up {
		return b, b.furnish(c, s) // whoever made it died, or has only begun
	}
	if err := b.fits(s.Subnets); err != nil {
		return nil, fail("use", "bridge "+s.Name, err)
	}
	return b, b.connect(false)
}

// fits tells whether the bridge has the subnets that are wanted. Of more
// addresses than one of a family, the first is the gateway's.
func (b *bridge) fits(wanted []netip.Prefix) error {
	var first []netip.Prefix
	for _, p := range b.gateways {
		if !slices.ContainsFunc(first, func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }) {
			first = append(first, p)
		}
	}
	b.gateways = first
	if err := checkSubnets(b.subnets()); err != nil {
		return err
	}
	for _, w := range wanted {
		if !slices.Contains(b.subnets(), w) {
			return fmt.Errorf("%w: it has %v, not %s; choose another name for the bridge, or remove it when no pod uses it (ip link delete %s)", ErrClash, b.subnets(), w, b.name)
		}
	}
	return nil
}

// newBridge makes the bridge and takes it back when a part of that fails.
func newBridge(c *netlink.Conn, s *Spec) (*bridge, error) {
	gateways, err := planGateways(c, s, 0)
	if err != nil {
		return nil, err
	}
	mtu := s.MTU
	if mtu == 0 {
		mtu = defaultMTU(c)
	}
	err = c.Do(addBridge(s.Name, mtu, gateways[0].Addr()))
	if err != nil {
		return nil, fail("make", "bridge "+s.Name, lacking(err, "bridges (module bridge)"))
	}
	l, err := findLink(c, linkNamed(s.Name))
	b := &bridge{link: l}
	if err == nil {
		err = b.furnish(c, s)
	}
	if err != nil {
		return nil, errors.Join(err, deleteLink(c, s.Name, link.ours), unprotect(s.Name))
	}
	return b, nil
}

// furnish gives a bridge what it does not have from the beginning.
func (b *bridge) furnish(c *netlink.Conn, s *Spec) (err error) {
	if b.gateways, err = planGateways(c, s, b.index); err != nil {
		return err
	}
	if err := trustNoRouter(b.name); err != nil {
		return err
	}
	list := []*netlink.Message{setUp(b.index)}
	for _, p := range b.gateways {
		list = append(list, addAddress(b.index, p))
	}
	if err := c.Do(list...); err != nil && !errors.Is(err, unix.EEXIST) {
		return fail("add to", fmt.Sprintf("bridge %s the addresses %v", b.name, b.gateways), err)
	}
	return b.connect(true)
}

// connect lets the bridge's pods reach the world.
func (b *bridge) connect(fresh bool) error {
	has := func(is4 bool) bool {
		return slices.ContainsFunc(b.gateways, func(p netip.Prefix) bool { return p.Addr().Is4() == is4 })
	}
	if err := forward(has(true), has(false)); err != nil {
		return err
	}
	return protect(b.name, b.subnets(), fresh)
}

// planGateways chooses the addresses of a new bridge, whose link index is except
// where it exists.
func planGateways(c *netlink.Conn, s *Spec, except int) ([]netip.Prefix, error) {
	routes, err := listRoutes(c, except)
	if err != nil {
		return nil, err
	}
	subnets := s.Subnets
	if len(subnets) == 0 {
		subnets, err = chooseSubnets(s.Name, routes)
	}
	for _, p := range s.Subnets {
		if err == nil {
			err = clash(p, routes)
		}
		if err == nil && p.Addr().Is6() && !hasIPv6() {
			err = &unsupported{"IPv6 is switched off on the host", unix.EAFNOSUPPORT}
		}
	}
	if err != nil {
		return nil, fail("choose subnets for", "bridge "+s.Name, err)
	}
	return allNumbered(subnets, 1), nil
}

func chooseSubnets(name string, routes []route) ([]netip.Prefix, error) {
	var used []netip.Prefix
	for _, r := range routes {
		used = append(used, r.to)
	}
	v4, err := chooseSubnet(used)
	if err != nil {
		return nil, err
	}
	if v6 := localSubnet(name); hasIPv6() && !slices.ContainsFunc(used, v6.Overlaps) {
		return []netip.Prefix{v4, v6}, nil
	}
	return []netip.Prefix{v4}, nil
}

// localSubnet is an IPv6 subnet that is most likely the bridge's alone in the
// world: a unique local one whose random part (RFC 4193) comes of the machine's
// identity, so that it stays the same.
func localSubnet(bridge string) netip.Prefix {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(id) < 16 {
		id = []byte(randomText())
	}
	addr := [16]byte{0xfd}
	copy(addr[1:6], digest("peapod\x00"+bridge+"\x00"+string(id)))
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}

// removeIdle removes a bridge that peapod made, with its table of nftables and
// the links connected to it, where all of these are going.
//
// Preconditions: the bridges are locked.
func removeIdle(c *netlink.Conn, name string, going func(link) bool) (err error) {
	for range 100 {
		if err = tryRemoveIdle(c, name, going); !errors.Is(err, unix.ENODEV) {
			break
		}
		// A dead pod's link has gone meanwhile, with its namespace.
	}
	return err
}

func tryRemoveIdle(c *netlink.Conn, name string, going func(link) bool) error {
	l, err := findLink(c, linkNamed(name))
	if errors.Is(err, unix.ENODEV) || err == nil && !l.ours() {
		return nil
	}
	var ports []link
	if err == nil {
		ports, err = listPorts(c, l.index)
	}
	if err != nil {
		return fail("look at", "bridge "+name, err)
	}
	if slices.ContainsFunc(ports, func(l link) bool { return !going(l) }) {
		return nil
	}
	table := make(chan error, 1) // the kernel waits for other things here than there
	go func() { table <- unprotect(name) }()
	err = fail("remove", "bridge "+name, c.Do(deleteTogether(append(ports, l))...))
	return errors.Join(err, <-table)
}

// noPort is for a bridge that nothing is connected to.
func noPort(link) bool { return false }

// listPorts lists the links that are connected to a bridge.
func listPorts(c *netlink.Conn, bridge int) (list []link, err error) {
	m := netlink.New(unix.RTM_GETLINK, unix.NLM_F_DUMP, linkHeader(0, 0)).Uint32(unix.IFLA_MASTER, uint32(bridge))
	err = c.Get(m, func(body []byte) { list = append(list, parseLink(body)) })
	return list, err
}
