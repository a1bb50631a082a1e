package pod

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// amend makes a service that is forwarded to what a changed record says, and
// returns what there is then; nil where it is to be begun anew. Ports that the
// change does not concern go on listening: no connection is refused meanwhile, and
// those that are open stay.
func (h *hub) amend(s *hubService, r *ServiceRecord) *hubService {
	o, err := r.Service.Options()
	if err != nil || !slices.Equal(s.record.Service.addresses(), r.Service.addresses()) {
		h.removeService(s)
		return nil
	}
	next := &hubService{record: r, options: o}
	leaving := slices.Clone(s.ports)
	var fresh []*hubPort
	for _, port := range r.Service.Spec.Ports {
		p := h.newPort(next, port)
		next.ports = append(next.ports, p)
		i := slices.IndexFunc(leaving, p.like)
		if i < 0 {
			fresh = append(fresh, p)
			continue
		}
		h.inherit(p, leaving[i])
		leaving = slices.Delete(leaving, i, i+1)
	}
	h.services[r.Service.Metadata.Name] = next
	for _, sp := range h.spaces {
		sp.endFlows(leaving)
		sp.shut(s, leaving)
		sp.openPorts(next, fresh)
		if sp.host() {
			next.failed = sp.align(next)
		}
	}
	for _, p := range leaving {
		p.pool.Set(nil)
	}
	return next
}

// like tells whether connections to two ports are treated alike, so that one can
// go on with what listens for the other.
func (p *hubPort) like(as *hubPort) bool {
	return p.port.Port == as.port.Port && p.udp() == as.udp() && p.proxy == as.proxy && p.outside == as.outside && p.pooling == as.pooling
}

// inherit gives a port what another one has. That itself is not changed: somebody
// may be reading it.
func (h *hub) inherit(p, from *hubPort) {
	p.pool, p.open = from.pool, from.open
	for _, sp := range h.spaces {
		if fronts := sp.fronts[from]; fronts != nil {
			sp.fronts[p] = fronts
			delete(sp.fronts, from)
		}
	}
}

// endFlows ends what comes by UDP to ports that leave: until then the address would
// not be free for a port that follows.
func (sp *space) endFlows(leaving []*hubPort) {
	for _, p := range leaving {
		for _, f := range sp.fronts[p] {
			if p.udp() {
				f.Close()
			}
		}
	}
}

// hostFailure is an address of the host that cannot be listened at.
type hostFailure struct {
	listener hostListener
	err      error
}

// align has the host listen at what the service is to have there, and nowhere
// else. At a service's own address ordinary users do without ports that they may
// not have.
func (sp *space) align(s *hubService) (failed *hostFailure) {
	wanted := map[*hubPort]map[netip.AddrPort]hostListener{}
	for _, p := range s.ports {
		wanted[p] = map[netip.AddrPort]hostListener{}
	}
	addresses := s.record.Service.addresses()
	if mine := s.record.PID == os.Getpid(); len(addresses) > 0 && mine {
		for i, p := range s.ports {
			for _, ip := range addresses {
				own := netip.AddrPortFrom(ip, uint16(p.port.Port))
				wanted[p][own] = hostListener{own, i, "spec.clusterIP"}
			}
		}
		for _, l := range s.record.Service.hostListeners(s.options) {
			wanted[s.ports[l.port]][l.addr] = l
		}
	}
	// First what is missing: when that is not to be had, what is there stays.
	for p, list := range wanted {
		for addr, l := range list {
			if slices.ContainsFunc(sp.fronts[p], func(f *front) bool { return f.addr == addr }) {
				continue
			}
			own := slices.Contains(addresses, addr.Addr())
			if err := sp.listenFor(p, addr, own); err != nil && !(own && deniedPort(err) != "") {
				return &hostFailure{l, err}
			}
		}
	}
	for p, list := range wanted {
		sp.fronts[p] = slices.DeleteFunc(sp.fronts[p], func(f *front) bool {
			_, stays := list[f.addr]
			if !stays {
				sp.shutFront(s.record.Service.Metadata.Name, f)
			}
			return !stays
		})
	}
	return nil
}

// listenFor listens at an address, which somebody else may be about to give up.
func (sp *space) listenFor(p *hubPort, addr netip.AddrPort, own bool) (err error) {
	for range 50 {
		if own {
			err = sp.listen(addr, p)
		} else {
			err = sp.listenAt(addr, p, p.outside)
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err == nil {
		err = sp.lead(p)
	}
	return err
}
