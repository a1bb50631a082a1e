package pod

import (
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// hostListener is an address of the host at which a service listens.
type hostListener struct {
	addr  netip.AddrPort
	port  int    // index of the service's port
	field string // that asks for it
}

// hostListeners are those beside the service's own: node ports, external
// addresses, a load balancer's, and those of the annotation.
func (s *Service) hostListeners(o ServiceOptions) (list []hostListener) {
	all := netip.IPv6Unspecified() // with it IPv4's
	if o.Transparent {
		all = netip.IPv4Unspecified() // a client of IPv6 could not be the peer of 127.0.0.1
	}
	for i, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			list = append(list, hostListener{netip.AddrPortFrom(all, uint16(p.NodePort)), i, "spec.ports"})
		}
		for _, text := range s.Spec.ExternalIPs {
			if ip, err := netip.ParseAddr(text); err == nil {
				list = append(list, hostListener{netip.AddrPortFrom(ip, uint16(p.Port)), i, "spec.externalIPs"})
			}
		}
		if s.Spec.Type == ServiceLoadBalancer {
			ip, err := netip.ParseAddr(s.Spec.LoadBalancerIP)
			if err != nil {
				ip = all
			}
			list = append(list, hostListener{netip.AddrPortFrom(ip, uint16(p.Port)), i, "spec.type"})
		}
		for _, h := range o.HostPorts {
			if h.ServicePort != "" && h.ServicePort != p.Name {
				continue
			}
			ip := h.IP
			if !ip.IsValid() {
				ip = all
			}
			list = append(list, hostListener{netip.AddrPortFrom(ip, uint16(h.Port)), i, "metadata.annotations"})
		}
	}
	return list
}

// openAll listens at the host's addresses of a service, which service is with
// the places of its fields.
func (sp *space) openAll(s *hubService, service *Service) error {
	if s == nil {
		return errors.New("the service was taken back meanwhile")
	}
	for _, a := range service.hostListeners(s.options) {
		if err := sp.listenAt(a.addr, s.ports[a.port], s.ports[a.port].outside); err != nil {
			return service.Errorf(a.field, "%w", explainAddress(a.addr, err))
		}
	}
	return nil
}

func explainAddress(addr netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return explain(err, "%s is in use by another process (ss -lntup tells which); choose another", addr)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return explain(err, "%s: the host has no such address", addr)
	}
	return err
}

// served are services that this process lets be reached.
type served struct {
	store        *Store
	hub          *hub
	registration *registration
}

// serve registers services and lets them be reached, until end is called; nil
// where there is none.
func (s *Store) serve(services []*Service, endpoints []*Endpoints, group string) (_ *served, err error) {
	if len(services) == 0 {
		return nil, nil
	}
	v := &served{store: s}
	if v.hub, err = s.joinHub(); err != nil {
		return nil, err
	}
	if v.registration, err = s.register(services, endpoints, group); err != nil {
		v.hub.leave()
		return nil, err
	}
	if err := v.hub.expose(v.registration); err != nil {
		v.hub.leave()
		return nil, err
	}
	return v, nil
}

// records are those of the services, as they are registered.
func (v *served) records() []*ServiceRecord {
	if v == nil {
		return nil
	}
	return slices.Clone(v.registration.records)
}

func (v *served) end() {
	if v != nil {
		v.hub.withdraw(v.registration)
		v.hub.leave()
	}
}
