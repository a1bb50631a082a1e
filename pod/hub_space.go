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
)

// space is a network namespace from which services are reached. Its methods are
// called with the hub's mu held.
type space struct {
	hub   *hub
	netns *os.File
	host  bool

	table  *sklookup.Table // nil before the first service, and where there can be none
	plain  bool            // there can be none
	fronts map[*hubPort]*front
}

// front is where a namespace listens for a service's port.
type front struct {
	*proxy.Front
	addr   netip.AddrPort
	socket *os.File // the same that Front accepts from; nil without a table
	led    bool
}

func newSpace(h *hub, netns *os.File, host bool) *space {
	return &space{hub: h, netns: netns, host: host, fronts: map[*hubPort]*front{}}
}

// open listens for a service. On the host only the process does it that has
// registered the service.
func (sp *space) open(s *hubService) {
	if sp.host && s.record.PID != os.Getpid() {
		return
	}
	ip, _ := s.record.Service.address()
	for _, p := range s.ports {
		f, err := sp.listen(netip.AddrPortFrom(ip, uint16(p.port.Port)), p)
		if err == nil {
			sp.fronts[p] = f
			err = sp.lead(p)
		}
		if err != nil {
			sp.hub.store.log().Error("a service cannot be reached from a network namespace", "service", s.record.Service.Metadata.Name, "port", p.port.Port, "error", err)
		}
	}
}

// lead lets connections arrive at a port that leads somewhere, and has them
// refused at once where it does not.
func (sp *space) lead(p *hubPort) (err error) {
	f := sp.fronts[p]
	if f == nil || f.socket == nil || f.led == p.open {
		return nil
	}
	if f.led = p.open; f.led {
		return sp.table.Lead(sklookup.TCP, f.addr, f.socket)
	}
	return sp.table.Drop(sklookup.TCP, f.addr)
}

// listen makes the listener of a service's port: one that is bound to another
// port of its address, which is in nobody's way, and to which a table leads.
func (sp *space) listen(addr netip.AddrPort, p *hubPort) (*front, error) {
	if err := sp.openTable(); err != nil {
		return nil, err
	}
	at := addr
	if sp.table != nil {
		at = netip.AddrPortFrom(addr.Addr(), 0)
	}
	l, err := sp.listener(at)
	if err != nil {
		return nil, err
	}
	f := &front{addr: addr}
	if sp.table != nil {
		if f.socket, err = l.File(); err != nil {
			l.Close()
			return nil, err
		}
	}
	if f.Front, err = p.proxy.Serve(context.Background(), l, p.pool); err != nil {
		f.socket.Close()
		return nil, err
	}
	return f, nil
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
	if sp.table, err = sklookup.Open(netns, serviceRange); err != nil {
		sp.plain = true
		sp.hub.store.log().Warn("containers cannot listen on the ports of services on all addresses", "error", err)
	}
	return nil
}

func (sp *space) listener(addr netip.AddrPort) (*net.TCPListener, error) {
	if sp.netns != nil {
		return namespaces.Listen(context.Background(), sp.netns, addr)
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false) // neither a table nor splice(2) knows its sockets
	l, err := c.Listen(context.Background(), "tcp", addr.String())
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

// shut takes no more connections to a service. Those that are open go on.
func (sp *space) shut(s *hubService) {
	for _, p := range s.ports {
		f := sp.fronts[p]
		if f == nil {
			continue
		}
		delete(sp.fronts, p)
		if f.led {
			if err := sp.table.Drop(sklookup.TCP, f.addr); err != nil {
				sp.hub.store.log().Error("a service that has gone is still led to", "service", s.record.Service.Metadata.Name, "error", err)
			}
		}
		f.socket.Close()
		go f.Shutdown(context.Background())
	}
}

// close ends all connections of the namespace.
func (sp *space) close() {
	if sp.table != nil {
		sp.table.Close()
	}
	for _, f := range sp.fronts {
		f.socket.Close()
		f.Close()
	}
	clear(sp.fronts)
}
