package pod

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"

	"github.com/peapod/peapod/internal/sklookup"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// space is a network namespace from which services are reached. Its methods are
// called with the hub's mu held.
type space struct {
	hub    *hub
	netns  *os.File     // nil: this process's
	podLog *slog.Logger // or nil

	tables   map[netip.Prefix]leader // by the range, from the first service of it on
	redirect *networks.Redirect      // which all of them are, or nil
	plain    bool                    // there can be none
	local    map[netip.Prefix]bool   // ranges that were made so
	own      netip.Addr              // of podRange: that of the pod whose namespace it is
	fronts   map[*hubPort][]*front
	dns      *dnsSockets // nil where there is no server

	hosts     string // the path of its /etc/hosts
	hostsBase string // what that begins with
	written   string // what follows
}

// front is where a namespace listens for a service's port.
type front struct {
	proxyFront
	addr     netip.AddrPort
	protocol int
	table    leader   // that leads to socket, or nil
	socket   *os.File // the same that the front accepts from, where a table leads to it
	led      bool     // connections arrive
	releases []func() // when nothing of it is left
}

// end gives up what the front needs beside itself. It has ended.
func (f *front) end() {
	for _, release := range f.releases {
		release()
	}
}

// proxyFront is a *proxy.Front or a *proxy.UDPFront.
type proxyFront interface {
	Shutdown(context.Context) error
	Close() error
}

func newSpace(h *hub, netns *os.File) *space {
	return &space{hub: h, netns: netns, fronts: map[*hubPort][]*front{}, tables: map[netip.Prefix]leader{}, local: map[netip.Prefix]bool{}}
}

func (sp *space) host() bool { return sp.netns == nil }

// open listens for a service. On the host only the process does it that has
// registered the service.
func (sp *space) open(s *hubService) {
	sp.openPorts(s, s.ports)
}

// openPorts listens for some of a service's ports.
func (sp *space) openPorts(s *hubService, ports []*hubPort) {
	if sp.host() && s.record.PID != os.Getpid() {
		return
	}
	for _, ip := range s.record.Service.addresses() {
		if ip == sp.own {
			continue // its programs listen there themselves
		}
		for _, p := range ports {
			if err := sp.listenFor(p, netip.AddrPortFrom(ip, uint16(p.port.Port)), true); err != nil {
				sp.log().Error("a service cannot be reached from a network namespace", "service", s.record.Service.Metadata.Name, "address", ip, "port", p.port.Port, "error", err)
			}
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
		if f.led == p.open {
			continue
		}
		if failure := f.lead(p.open); failure != nil {
			err = errors.Join(err, failure)
		} else {
			f.led = p.open
		}
	}
	return err
}

func (f *front) lead(open bool) error {
	switch tcp, _ := f.proxyFront.(*proxy.Front); {
	case f.socket != nil && open:
		return f.table.Lead(f.protocol, f.addr, f.socket)
	case f.socket != nil:
		return f.table.Drop(f.protocol, f.addr)
	case tcp != nil && open:
		return tcp.Resume()
	case tcp != nil:
		return tcp.Pause()
	}
	return nil // datagrams are dropped
}

// listen listens at a service's own address.
func (sp *space) listen(addr netip.AddrPort, p *hubPort) error {
	within := p.service.record.within(addr.Addr())
	release, err := sp.makeLocal(within)
	if err != nil {
		return err
	}
	f, err := sp.ownFront(within, addr, p)
	if err != nil {
		release()
		return err
	}
	f.addr, f.releases = addr, append(f.releases, release)
	sp.fronts[p] = append(sp.fronts[p], f)
	return nil
}

// ownFront listens through a socket that is bound to another port of the address,
// which is in nobody's way, and to which a table leads. An answer by UDP has to come
// from the port itself: where BPF leads, a raw socket sends it.
func (sp *space) ownFront(within netip.Prefix, addr netip.AddrPort, p *hubPort) (*front, error) {
	table, err := sp.openTable(within)
	if err != nil {
		return nil, err
	}
	bound := sp.boundFor(addr, table, p.udp())
	f := &front{table: table}
	if p.udp() {
		err = sp.serveOwnUDP(f, bound, addr, p)
	} else {
		err = sp.serveOwn(f, bound, addr, p)
	}
	if err == nil {
		if err = sp.hold(f, addr); err != nil {
			f.Close()
		}
	}
	if err != nil {
		f.socket.Close()
		return nil, err
	}
	if table == nil {
		f.socket.Close()
		f.socket, f.led = nil, true
	}
	return f, nil
}

func (sp *space) serveOwn(f *front, bound, addr netip.AddrPort, p *hubPort) error {
	l, err := sp.ownListener(bound)
	if err != nil {
		return err
	}
	f.protocol = sklookup.TCP
	if f.socket, err = l.File(); err != nil {
		l.Close()
		return err
	}
	f.proxyFront, err = p.proxy.Serve(context.Background(), &proxy.LedListener{TCPListener: l, To: addr}, p.pool)
	return err
}

func (sp *space) serveOwnUDP(f *front, bound, addr netip.AddrPort, p *hubPort) (err error) {
	f.protocol = sklookup.UDP
	if f.socket, err = sp.boundUDP(bound); err != nil {
		return err
	}
	o := proxy.UDPOptions{Socket: f.socket, IdleTimeout: p.service.options.IdleTimeout, Log: sp.hub.store.Log}
	if bound != addr && sp.redirect == nil {
		domain := unix.AF_INET
		if addr.Addr().Is6() {
			domain = unix.AF_INET6
		}
		if o.Raw, err = sp.rawSocket(domain); err != nil {
			return err
		}
		defer o.Raw.Close()
		o.From = addr
	}
	f.proxyFront, err = proxy.ForwardUDP(addr, p.pool, o)
	return err
}

// listenAt listens at an address that is a socket's own, such as a node port.
func (sp *space) listenAt(addr netip.AddrPort, p *hubPort, by *proxy.Proxy) error {
	served, err := sp.serveAt(addr, p, by)
	if err != nil {
		return err
	}
	sp.fronts[p] = append(sp.fronts[p], &front{proxyFront: served, addr: addr, led: true})
	return sp.lead(p)
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
	if f.led && f.socket != nil {
		if err := f.table.Drop(f.protocol, f.addr); err != nil {
			sp.hub.store.log().Error("a service that has gone is still led to", "service", service, "error", err)
		}
	}
	f.socket.Close()
	sp.hub.draining.Go(func() {
		f.Shutdown(sp.hub.living)
		f.end()
	})
}

// close ends all connections of the namespace.
func (sp *space) close() {
	for _, table := range sp.tables {
		table.Close()
	}
	if sp.redirect != nil {
		sp.redirect.Close() // also where it covers nothing
	}
	sp.dns.close()
	for _, fronts := range sp.fronts {
		for _, f := range fronts {
			f.socket.Close()
			f.Close()
			f.end()
		}
	}
	clear(sp.fronts)
}
