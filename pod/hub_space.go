package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/peapod/peapod/internal/sklookup"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// space is a network namespace from which services are reached. Its methods are
// called with the hub's mu held.
type space struct {
	hub   *hub
	netns *os.File // nil: this process's

	table  *sklookup.Table // nil before the first service, and where there can be none
	plain  bool            // there can be none
	own    netip.Addr      // of podRange: that of the pod whose namespace it is
	fronts map[*hubPort][]*front
	dns    *dnsSockets // nil where there is no server

	hosts     string // the path of its /etc/hosts
	hostsBase string // what that begins with
	written   string // what follows
}

// front is where a namespace listens for a service's port.
type front struct {
	proxyFront
	addr     netip.AddrPort
	protocol int
	socket   *os.File // the same that the front accepts from, where a table leads to it
	led      bool
}

// proxyFront is a *proxy.Front or a *proxy.UDPFront.
type proxyFront interface {
	Shutdown(context.Context) error
	Close() error
}

func newSpace(h *hub, netns *os.File) *space {
	return &space{hub: h, netns: netns, fronts: map[*hubPort][]*front{}}
}

func (sp *space) host() bool { return sp.netns == nil }

// open listens for a service. On the host only the process does it that has
// registered the service.
func (sp *space) open(s *hubService) {
	sp.openPorts(s, s.ports)
}

// openPorts listens for some of a service's ports.
func (sp *space) openPorts(s *hubService, ports []*hubPort) {
	ip, ok := s.record.Service.address()
	if sp.host() && s.record.PID != os.Getpid() || !ok {
		return
	}
	if ip == sp.own {
		return // its programs listen there themselves
	}
	for _, p := range ports {
		if err := sp.listenFor(p, netip.AddrPortFrom(ip, uint16(p.port.Port)), true); err != nil {
			sp.hub.store.log().Error("a service cannot be reached from a network namespace", "service", s.record.Service.Metadata.Name, "port", p.port.Port, "error", err)
		}
	}
}

// has tells whether the service has been opened.
func (sp *space) has(s *hubService) bool {
	return len(s.ports) > 0 && len(sp.fronts[s.ports[0]]) > 0
}

// lead lets connections arrive at a port that leads somewhere, and has them
// refused at once where it does not.
func (sp *space) lead(p *hubPort) (err error) {
	for _, f := range sp.fronts[p] {
		if f.socket == nil || f.led == p.open {
			continue
		}
		if f.led = p.open; f.led {
			err = errors.Join(err, sp.table.Lead(f.protocol, f.addr, f.socket))
		} else {
			err = errors.Join(err, sp.table.Drop(f.protocol, f.addr))
		}
	}
	return err
}

// listen listens at a service's own address, through a socket that is bound to
// another port of the address, which is in nobody's way, and to which a table
// leads. An answer by UDP has to come from the port itself: a raw socket sends it.
func (sp *space) listen(addr netip.AddrPort, p *hubPort) error {
	if err := sp.openTable(); err != nil {
		return err
	}
	switch {
	case sp.table == nil:
		return sp.listenAt(addr, p, p.proxy)
	case p.udp():
		return sp.listenUDP(addr, p)
	}
	l, err := sp.listener(netip.AddrPortFrom(addr.Addr(), 0))
	if err != nil {
		return err
	}
	socket, err := l.File()
	if err != nil {
		l.Close()
		return err
	}
	served, err := p.proxy.Serve(context.Background(), l, p.pool)
	if err != nil {
		socket.Close()
		return err
	}
	sp.fronts[p] = append(sp.fronts[p], &front{proxyFront: served, addr: addr, protocol: sklookup.TCP, socket: socket})
	return nil
}

// listenUDP is listen for UDP.
func (sp *space) listenUDP(addr netip.AddrPort, p *hubPort) error {
	socket, err := sp.boundUDP(netip.AddrPortFrom(addr.Addr(), 0))
	if err != nil {
		return err
	}
	raw, err := sp.rawSocket()
	if err != nil {
		socket.Close()
		return err
	}
	defer raw.Close()
	served, err := proxy.ForwardUDP(addr, p.pool, proxy.UDPOptions{Socket: socket, Raw: raw, From: addr, IdleTimeout: p.service.options.IdleTimeout, Log: sp.hub.store.Log})
	if err != nil {
		socket.Close()
		return err
	}
	sp.fronts[p] = append(sp.fronts[p], &front{proxyFront: served, addr: addr, protocol: sklookup.UDP, socket: socket})
	return nil
}

// boundUDP makes a UDP socket with an address, IPv4.
func (sp *space) boundUDP(addr netip.AddrPort) (*os.File, error) {
	fd, err := sp.newSocket(unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind %s: %w", addr, err)
	}
	return os.NewFile(uintptr(fd), addr.String()), nil
}

// rawSocket makes one that sends from any address, IPv4.
func (sp *space) rawSocket() (*os.File, error) {
	fd, err := sp.newSocket(unix.SOCK_RAW, proxy.RawProtocol)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "raw"), nil
}

// newSocket makes a socket of IPv4.
func (sp *space) newSocket(kind, protocol int) (int, error) {
	kind |= unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if sp.host() {
		return unix.Socket(unix.AF_INET, kind, protocol)
	}
	return namespaces.Socket(sp.netns, unix.AF_INET, kind, protocol)
}

// listenAt listens at an address that is a socket's own, such as a node port.
func (sp *space) listenAt(addr netip.AddrPort, p *hubPort, by *proxy.Proxy) error {
	served, err := sp.serveAt(addr, p, by)
	if err != nil {
		return err
	}
	sp.fronts[p] = append(sp.fronts[p], &front{proxyFront: served, addr: addr})
	return nil
}

func (sp *space) serveAt(addr netip.AddrPort, p *hubPort, by *proxy.Proxy) (proxyFront, error) {
	if !p.udp() {
		l, err := sp.listener(addr)
		if err != nil {
			return nil, err
		}
		return by.Serve(context.Background(), l, p.pool)
	}
	o := proxy.UDPOptions{IdleTimeout: p.service.options.IdleTimeout, Log: sp.hub.store.Log}
	if !sp.host() {
		o.Sockets = &proxy.Sockets{Make: socketsOf(sp.netns)}
		defer o.Sockets.Close()
	}
	return proxy.ForwardUDP(addr, p.pool, o)
}

// socketsOf makes sockets in a network namespace.
func socketsOf(netns *os.File) func(domain, typ, n int) ([]int, error) {
	return func(domain, typ, n int) ([]int, error) { return socketsIn(netns, domain, typ, n) }
}

func socketsIn(netns *os.File, domain, typ, n int) ([]int, error) {
	return namespaces.Sockets(netns, domain, typ, 0, n)
}

// openTable opens the table, unless it is. Where that is not possible listeners
// are bound to the services' own ports.
func (sp *space) openTable() (err error) {
	if sp.table != nil || sp.plain {
		return nil
	}
	netns := sp.netns
	if netns == nil {
		if netns, err = os.Open("/proc/self/ns/net"); err != nil {
			return err
		}
		defer netns.Close()
	}
	if sp.table, err = sklookup.Open(netns, bothRanges, sp.own); err != nil {
		sp.plain = true
		sp.hub.store.log().Warn("containers cannot listen on the ports of services on all addresses", "error", err)
		return nil
	}
	return sp.leadDNS()
}

func (sp *space) listener(addr netip.AddrPort) (*net.TCPListener, error) {
	if sp.netns != nil {
		return namespaces.Listen(context.Background(), sp.netns, addr)
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false) // neither a table nor splice(2) knows its sockets
	text, network := addr.String(), "tcp"
	switch addr.Addr() {
	case netip.IPv6Unspecified():
		text = fmt.Sprintf(":%d", addr.Port()) // also where there is no IPv6
	case netip.IPv4Unspecified():
		network = "tcp4" // or else it were all addresses of IPv6 too
	}
	l, err := c.Listen(context.Background(), network, text)
	if err != nil {
		return nil, err
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", addr, errors.ErrUnsupported)
	}
	return t, nil
}

// shut takes no more connections to ports of a service. Those that are open go on.
func (sp *space) shut(s *hubService, ports []*hubPort) {
	for _, p := range ports {
		for _, f := range sp.fronts[p] {
			sp.shutFront(s.record.Service.Metadata.Name, f)
		}
		delete(sp.fronts, p)
	}
}

func (sp *space) shutFront(service string, f *front) {
	if f.led {
		if err := sp.table.Drop(f.protocol, f.addr); err != nil {
			sp.hub.store.log().Error("a service that has gone is still led to", "service", service, "error", err)
		}
	}
	f.socket.Close()
	sp.hub.draining.Go(func() { f.Shutdown(sp.hub.living) })
}

// close ends all connections of the namespace.
func (sp *space) close() {
	if sp.table != nil {
		sp.table.Close()
	}
	sp.dns.close()
	for _, fronts := range sp.fronts {
		for _, f := range fronts {
			f.socket.Close()
			f.Close()
		}
	}
	clear(sp.fronts)
}
