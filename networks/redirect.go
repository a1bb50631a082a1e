package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// redirectTable is the name of the table in a pod's network namespace.
const redirectTable = table("peapod_services")

// ownedTable is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h (5.12): others
// cannot change or flush the table, and it goes with the socket that made it.
const ownedTable = 1 << 1

// Redirect leads what programs of a network namespace send to addresses of services
// to sockets that are bound to other ports of these, by a table of nftables there;
// what comes back has the service's port again. What is sent to such an address and
// led nowhere is refused, whoever listens there.
//
// Ports are changed in the packets, one by one: there is no connection tracking,
// whose table would bound the connections of the last two minutes, and keep clients
// of UDP with a socket that has gone. Packets that come from elsewhere are let be.
// Methods may be called from several goroutines.
type Redirect struct {
	mu     sync.Mutex
	conn   *netlink.Conn // nil: closed
	led    map[endpoint]uint16
	bound  map[endpoint]uint16 // of TCP
	users  map[binding]int
	ranges map[netip.Prefix]bool
}

// binding is a socket behind a service's address.
type binding struct {
	endpoint
	port uint16
}

// OpenRedirect makes the table in the network namespace to which a socket of the
// family NETLINK_NETFILTER belongs. It takes over the socket, also when it fails.
// The error is ErrUnsupported where the kernel lacks what that takes. What is led
// goes the ordinary way again when the Redirect is closed, or the process ends.
func OpenRedirect(socket int) (*Redirect, error) {
	r := &Redirect{conn: netlink.Adopt(socket), led: map[endpoint]uint16{}, bound: map[endpoint]uint16{}, users: map[binding]int{}, ranges: map[netip.Prefix]bool{}}
	if err := r.batch(planRedirect()...); err != nil {
		r.Close()
		return nil, fail("make", redirectTable.String(), explainRedirect(err))
	}
	return r, nil
}

func explainRedirect(err error) error {
	return lacking(err, "nf_tables that rejects (modules nf_tables, nft_reject_inet)")
}

// Close lets everything go the ordinary way again.
func (r *Redirect) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// Cover has what is sent to a range of addresses led or refused, but what is sent to
// the address but, if that is one. A range is covered once.
func (r *Redirect) Cover(p netip.Prefix, but netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ranges[p] {
		return nil
	}
	if err := r.batch(planRange(p, but)...); err != nil {
		return fail("lead", "the addresses "+p.String(), explainRedirect(err))
	}
	r.ranges[p] = true
	return nil
}

// Bound returns the port of the address to which connections to a service's port
// are led, or were and are still open; 0: there are none. A socket that is to
// follow another one has to be bound to the same.
func (r *Redirect) Bound(addr netip.AddrPort) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bound[endpoint{unix.IPPROTO_TCP, addr}]
}

// Hold brings what a socket sends back to the clients of a service's address, until
// the function that it returns is called: when nothing is left of what came by the
// socket. The socket is bound to another port of addr's address. The error is
// EADDRINUSE while that is still some other service's.
func (r *Redirect) Hold(protocol int, addr netip.AddrPort, socket syscall.Conn) (release func() error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := binding{endpoint{protocol, addr}, 0}
	if b.port, err = portOf(socket, addr); err != nil {
		return nil, fail("lead", addr.String(), err)
	}
	if other := r.bound[b.endpoint]; other != 0 && other != b.port {
		return nil, fail("lead", addr.String(), fmt.Errorf("%w: to port %d already", ErrExist, other))
	}
	if r.users[b] == 0 {
		m := mapsOf(addr.Addr())
		list := []*netlink.Message{m.back.add(b.back(), addr.Port())}
		if protocol == unix.IPPROTO_TCP {
			list = append(list, m.open.add(b.endpoint, b.port))
		}
		err := r.batch(list...)
		if errors.Is(err, unix.EEXIST) {
			err = fmt.Errorf("%w: what is left of another service's socket has port %d", unix.EADDRINUSE, b.port)
		}
		if err != nil {
			return nil, fail("lead", addr.String(), err)
		}
		if protocol == unix.IPPROTO_TCP {
			r.bound[b.endpoint] = b.port
		}
	}
	r.users[b]++
	return func() error { return r.release(b) }, nil
}

func (r *Redirect) release(b binding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users[b]--; r.users[b] > 0 {
		return nil
	}
	delete(r.users, b)
	m := mapsOf(b.addr.Addr())
	list := []*netlink.Message{m.back.remove(b.back())}
	if b.protocol == unix.IPPROTO_TCP {
		delete(r.bound, b.endpoint)
		list = append(list, m.open.remove(b.endpoint))
	}
	if r.led[b.endpoint] == b.port {
		delete(r.led, b.endpoint)
		list = append(list, m.begin.remove(b.endpoint))
	}
	return r.unless(r.batch(list...), "lead nothing to", b.addr)
}

// back is where the answers come from.
func (b binding) back() endpoint {
	return endpoint{b.protocol, netip.AddrPortFrom(b.addr.Addr(), b.port)}
}

// Lead leads what begins, a connection of TCP or each datagram of UDP, to a socket,
// for which Hold has been called.
func (r *Redirect) Lead(protocol int, addr netip.AddrPort, socket syscall.Conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, m := endpoint{protocol, addr}, mapsOf(addr.Addr())
	port, err := portOf(socket, addr)
	if err == nil && r.users[binding{key, port}] == 0 {
		err = errors.New("the socket is not held")
	}
	var list []*netlink.Message
	if old := r.led[key]; old == port {
		return nil
	} else if old != 0 {
		list = append(list, m.begin.remove(key))
	}
	if err == nil {
		err = r.batch(append(list, m.begin.add(key, port))...)
	}
	if err != nil {
		return fail("lead", addr.String(), err)
	}
	r.led[key] = port
	return nil
}

// Drop refuses what begins from now on. Connections that are open go on.
func (r *Redirect) Drop(protocol int, addr netip.AddrPort) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := endpoint{protocol, addr}
	if r.led[key] == 0 {
		return nil
	}
	delete(r.led, key)
	return r.unless(r.batch(mapsOf(addr.Addr()).begin.remove(key)), "lead nothing to", addr)
}

// Except lets what is sent to a socket of the range at its own address through.
func (r *Redirect) Except(protocol int, addr netip.AddrPort) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fail("lead", addr.String(), r.batch(mapsOf(addr.Addr()).back.add(endpoint{protocol, addr}, addr.Port())))
}

func (r *Redirect) unless(err error, op string, addr netip.AddrPort) error {
	if errors.Is(err, errRedirectClosed) {
		return nil // then it is so
	}
	return fail(op, addr.String(), err)
}

var errRedirectClosed = errors.New("the table has been closed")

func (r *Redirect) batch(list ...*netlink.Message) error {
	if r.conn == nil {
		return errRedirectClosed
	}
	return r.conn.Batch(unix.NFNL_SUBSYS_NFTABLES, list...)
}

// portOf is the port that a socket is bound to, of the same address.
func portOf(socket syscall.Conn, addr netip.AddrPort) (port uint16, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var name unix.Sockaddr
	if e := raw.Control(func(fd uintptr) { name, err = unix.Getsockname(int(fd)) }); e != nil {
		return 0, e
	}
	var at netip.Addr
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		at, port = netip.AddrFrom4(name.Addr), uint16(name.Port)
	case *unix.SockaddrInet6:
		at, port = netip.AddrFrom16(name.Addr), uint16(name.Port)
	}
	if err == nil && (at != addr.Addr() || port == 0) {
		err = fmt.Errorf("%w: the socket is bound to port %d of %s", ErrInvalid, port, at)
	}
	return port, err
}
