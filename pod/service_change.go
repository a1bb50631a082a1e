package pod

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// serviceChange is what is to become of the services of a group.
type serviceChange struct {
	added, changed []*Service
	endpoints      []*Endpoints
	removed        []string
	late           []string // to be removed when all else has been done
}

// changeServices does it: all of it, or nothing and tells why.
func (g *Group) changeServices(c *serviceChange) (err error) {
	if len(c.added)+len(c.changed)+len(c.removed) == 0 {
		return nil
	}
	if g.services == nil {
		services, err := g.options.Store.serve(c.added, c.endpoints, g.requests.id())
		g.mu.Lock()
		defer g.mu.Unlock()
		g.services = services
		return err
	}
	v := g.services
	var before []*ServiceRecord
	restore := func() {
		for _, r := range before {
			err = errors.Join(err, v.restore(r))
		}
	}
	for _, s := range c.changed {
		was := v.registration.record(s.Metadata.Name)
		if err = v.change(s, endpointsOf(s, c.endpoints)); err != nil {
			restore()
			return err
		}
		before = append(before, was)
	}
	if err = v.add(c.added, c.endpoints, g.requests.id()); err != nil {
		restore()
		return err
	}
	v.remove(c.removed)
	return nil
}

// add registers further services.
func (v *served) add(services []*Service, endpoints []*Endpoints, group string) error {
	if len(services) == 0 {
		return nil
	}
	more, err := v.store.register(services, endpoints, group)
	if err != nil {
		return err
	}
	if err := v.hub.expose(more); err != nil {
		return err
	}
	v.registration.join(more)
	return nil
}

// remove withdraws some of the services.
func (v *served) remove(names []string) {
	if len(names) > 0 {
		v.hub.withdraw(v.registration.split(names))
	}
}

// change makes a service what it is to be, at the addresses that it has as far as
// it does not ask for others.
func (v *served) change(s *Service, e *Endpoints) error {
	before := v.registration.record(s.Metadata.Name)
	lock, err := v.hub.store.lockServices()
	if err != nil {
		return err
	}
	defer lock.Close()
	taken, err := v.hub.store.ListServices()
	if err != nil {
		return err
	}
	taken = slices.DeleteFunc(taken, func(r *ServiceRecord) bool { return r.Service.Metadata.Name == s.Metadata.Name })
	var local hostRanges
	defer local.releaseAll()
	a := newAllocator(taken, v.store.serviceRanges(), local.hold)
	chosen, err := a.choose(s.keeping(before.Service))
	if err != nil {
		return err
	}
	next := *before
	next.Service, next.Ranges, next.Endpoints, next.Changed = chosen, a.toMakeLocal(chosen), e, time.Now().UTC()
	if err := v.hub.rewrite(v.registration, &next); err != nil {
		return s.Errorf(err.listener.field, "%w", errors.Join(explainAddress(err.listener.addr, err.err), v.restore(before)))
	}
	return nil
}

// restore makes a service what it was.
func (v *served) restore(before *ServiceRecord) error {
	again := *before
	again.Changed = time.Now().UTC()
	if err := v.hub.rewrite(v.registration, &again); err != nil {
		return err.err
	}
	return nil
}

// keeping is the service with the addresses of an earlier one, where it asks for
// none.
func (s *Service) keeping(before *Service) *Service {
	next := *s
	if had := before.addresses(); next.Spec.ClusterIP == "" && next.Spec.Type != ServiceExternalName && len(had) > 0 {
		next.Spec.keepAddresses(had)
	}
	if next.Spec.Type != ServiceNodePort && next.Spec.Type != ServiceLoadBalancer {
		return &next
	}
	next.Spec.Ports = slices.Clone(next.Spec.Ports)
	for i := range next.Spec.Ports {
		p := &next.Spec.Ports[i]
		for _, old := range before.Spec.Ports {
			if old.Port == p.Port && orTCP(old.Protocol) == orTCP(p.Protocol) {
				p.NodePort = cmp.Or(p.NodePort, old.NodePort)
			}
		}
	}
	return &next
}

// keepAddresses asks for addresses that the service had, as far as they are of the
// families that it is to have now.
func (s *ServiceSpec) keepAddresses(had []netip.Addr) {
	families, _ := s.families(familyOf(had[0]))
	for i, ip := range had {
		if i == len(families) || families[i] != familyOf(ip) {
			break
		}
		s.ClusterIPs = append(s.ClusterIPs, ip.String())
	}
	if len(s.ClusterIPs) > 0 {
		s.ClusterIP = s.ClusterIPs[0]
	}
}

// record returns the record of a service of the registration.
func (r *registration) record(name string) *ServiceRecord {
	for _, record := range r.records {
		if record.Service.Metadata.Name == name {
			return record
		}
	}
	return nil
}

func (r *registration) join(more *registration) {
	r.records, r.places, r.locks = append(r.records, more.records...), append(r.places, more.places...), append(r.locks, more.locks...)
}

// split takes services out, as a registration of their own.
func (r *registration) split(names []string) *registration {
	out, rest := &registration{store: r.store}, &registration{}
	for i, record := range r.records {
		to := rest
		if slices.Contains(names, record.Service.Metadata.Name) {
			to = out
		}
		to.records, to.places, to.locks = append(to.records, record), append(to.places, r.places[i]), append(to.locks, r.locks[i])
	}
	r.records, r.places, r.locks = rest.records, rest.places, rest.locks
	return out
}

// rewrite registers what a service of this process has become. The failure is
// about an address of the host.
func (h *hub) rewrite(r *registration, record *ServiceRecord) *hostFailure {
	name := record.Service.Metadata.Name
	h.mu.Lock()
	defer h.mu.Unlock()
	data, err := json.Marshal(record)
	if err == nil {
		err = replaceFile(h.store.servicePlace(name).serviceFile(), data)
	}
	if err != nil {
		return &hostFailure{hostListener{field: "metadata.name"}, err}
	}
	for i, old := range r.records {
		if old.Service.Metadata.Name == name {
			r.records[i] = record
		}
	}
	h.catalog.readService(name)
	h.update(change{services: []string{name}})
	if s := h.services[name]; s != nil {
		host := h.spaces[hostSpace]
		if s.failed == nil && host != nil {
			s.failed = host.align(s) // where it was begun anew there is more to do
		}
		return s.failed
	}
	return nil
}
