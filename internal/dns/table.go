package dns

import "net/netip"

// Table is a [Zone] made of a list of services.
type Table struct {
	services   map[serviceKey]*Service
	namespaces map[string]struct{}
	pods       map[Pod]struct{}
	owners     map[netip.Addr][]Owner
}

type serviceKey struct{ namespace, name string }

// Pod is a pod's address in its namespace.
type Pod struct {
	Namespace string
	Address   netip.Addr
}

// NewTable returns a Table of the services and pods, whose namespaces are those
// that exist. It keeps the services, which therefore must not change any more.
func NewTable(services []*Service, pods []Pod) *Table {
	t := &Table{
		services:   make(map[serviceKey]*Service, len(services)),
		namespaces: make(map[string]struct{}),
		pods:       make(map[Pod]struct{}, len(pods)),
		owners:     make(map[netip.Addr][]Owner, len(services)),
	}
	for _, s := range services {
		t.services[serviceKey{s.Namespace, s.Name}] = s
		t.namespaces[s.Namespace] = struct{}{}
		t.own(s)
	}
	for _, p := range pods {
		p.Address = p.Address.Unmap()
		t.pods[p] = struct{}{}
		t.namespaces[p.Namespace] = struct{}{}
	}
	return t
}

func (t *Table) own(s *Service) {
	for _, a := range s.Addresses {
		a = a.Unmap()
		t.owners[a] = append(t.owners[a], Owner{"", s.Name, s.Namespace})
	}
	if !s.headless() {
		return
	}
	for i := range s.Endpoints {
		for _, a := range s.Endpoints[i].Addresses {
			a = a.Unmap()
			t.owners[a] = append(t.owners[a], Owner{s.Endpoints[i].Label(), s.Name, s.Namespace})
		}
	}
}

// Service implements [Zone].
func (t *Table) Service(namespace, name string) *Service {
	return t.services[serviceKey{namespace, name}]
}

// Namespace implements [Zone].
func (t *Table) Namespace(name string) bool { _, ok := t.namespaces[name]; return ok }

// Pod implements [Zone].
func (t *Table) Pod(namespace string, addr netip.Addr) bool {
	_, ok := t.pods[Pod{namespace, addr.Unmap()}]
	return ok
}

// Owners implements [Zone].
func (t *Table) Owners(addr netip.Addr) []Owner { return t.owners[addr.Unmap()] }
