package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peapod/peapod/networks"
)

// What callers branch on; errors.Is finds them.
var (
	ErrServiceNotExist = errors.New("no such service")
	ErrServiceExist    = errors.New("service exists already")
)

// ServiceRecord is a service that was found in a store. It is there for as long
// as the process that registered it lives, or another one that took it over.
type ServiceRecord struct {
	// Service has the addresses and node ports that were chosen filled in.
	Service *Service `json:"service"`
	// Ranges are those that its addresses are of, as far as they have to be made
	// local where they are used.
	Ranges []netip.Prefix `json:"ranges,omitempty"`
	// Endpoints are those by hand, of a service without a selector.
	Endpoints *Endpoints `json:"endpoints,omitempty"`
	Created   time.Time  `json:"created"`
	// Changed is when it was changed last, after that.
	Changed time.Time `json:"changed,omitzero"`
	// Group is what the service belongs to: that of the pods it came with.
	Group string `json:"group,omitempty"`
	// PID is the process that registered the service, or has taken it over,
	// and listens for it on the host.
	PID int `json:"pid"`
}

func (s *Store) servicesDir() string { return filepath.Join(s.root(), "services") }

// servicePlace is where a service is registered; place has the lock that its
// owner holds.
func (s *Store) servicePlace(name string) place {
	return place{name: name, state: filepath.Join(s.servicesDir(), name)}
}

func (p place) serviceFile() string { return filepath.Join(p.state, "service.json") }

// GetService returns the service called name, or ErrServiceNotExist.
func (s *Store) GetService(name string) (*ServiceRecord, error) {
	r, err := s.serviceRecord(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("service %s: %w (peapod service ls lists them)", name, ErrServiceNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", name, denied(err))
	}
	return r, nil
}

// serviceRecord reads a service. The error is fs.ErrNotExist, too, where the
// process has died that registered it.
func (s *Store) serviceRecord(name string) (*ServiceRecord, error) {
	if err := CheckName(name); err != nil {
		return nil, fs.ErrNotExist
	}
	p := s.servicePlace(name)
	running, err := p.supervised()
	if err != nil {
		return nil, err
	}
	if !running {
		return nil, fs.ErrNotExist
	}
	data, err := os.ReadFile(p.serviceFile())
	if err != nil {
		return nil, err
	}
	r := &ServiceRecord{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", p.serviceFile(), err)
	}
	return r, nil
}

// ListServices returns all services, sorted by name.
func (s *Store) ListServices() ([]*ServiceRecord, error) {
	entries, err := os.ReadDir(s.servicesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, denied(err)
	}
	var list []*ServiceRecord
	for _, e := range entries {
		r, err := s.serviceRecord(e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.log().Warn("a service's state cannot be read", "service", e.Name(), "error", err)
		default:
			list = append(list, r)
		}
	}
	return list, nil
}

// ServicesOf returns those of a manifest's services that are there, with the
// addresses that they have.
func (s *Store) ServicesOf(m *Manifest) (list []*ServiceRecord) {
	for _, svc := range m.Services {
		if r, err := s.serviceRecord(svc.Metadata.Name); err == nil {
			list = append(list, r)
		}
	}
	return list
}

// registration is what a process has registered.
type registration struct {
	store   *Store
	records []*ServiceRecord
	places  []place
	locks   []*os.File
}

// register makes services known to all processes of the store, with addresses
// for those that have none. Either all are registered or none is.
func (s *Store) register(services []*Service, endpoints []*Endpoints, group string) (_ *registration, err error) {
	r := &registration{store: s}
	if err := makePrivate(s.servicesDir()); err != nil {
		return nil, err
	}
	// One at a time: addresses are chosen that nobody has.
	lock, err := s.lockServices()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			r.release()
		}
	}()
	s.sweepServices()
	taken, err := s.ListServices()
	if err != nil {
		return nil, err
	}
	var local hostRanges // until the services hold them
	defer local.releaseAll()
	a := newAllocator(taken, s.serviceRanges(), local.hold)
	for _, svc := range services {
		for _, t := range taken {
			if t.Service.Metadata.Name == svc.Metadata.Name {
				return nil, svc.Errorf("metadata.name", "service %s: %w: it belongs to process %d (peapod service inspect %s); choose another name, or stop that first",
					svc.Metadata.Name, ErrServiceExist, t.PID, svc.Metadata.Name)
			}
		}
		chosen, err := a.choose(svc)
		if err != nil {
			return nil, err
		}
		r.records = append(r.records, &ServiceRecord{Service: chosen, Ranges: a.toMakeLocal(chosen), Endpoints: endpointsOf(svc, endpoints), Created: time.Now().UTC(), PID: os.Getpid(), Group: group})
	}
	for _, record := range r.records {
		s.sweepService(s.servicePlace(record.Service.Metadata.Name), true)
		if err := r.add(record); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// supported refuses what connections cannot have.
func (s *Service) supported() error {
	o, err := s.Options()
	switch {
	case err != nil:
		return err
	case o.Transparent && s.listensByIPv6(o):
		return s.Errorf("metadata.annotations", "%stransparent is for clients of IPv4: pods are connected to by that; leave the addresses of IPv6 out", AnnotationPrefix)
	case o.Transparent && s.wantsIPv6():
		return s.Errorf("metadata.annotations", "%stransparent is for clients of IPv4: pods are connected to by that; have the service use IPv4 alone (ipFamilyPolicy: SingleStack)", AnnotationPrefix)
	case o.Transparent && len(s.Spec.Selector) == 0:
		return s.Errorf("metadata.annotations", "%stransparent is for pods: what Endpoints list is reached from the host, and cannot answer to its clients' addresses; leave it out", AnnotationPrefix)
	}
	return nil
}

func (s *Service) listensByIPv6(o ServiceOptions) bool {
	return slices.ContainsFunc(s.hostListeners(o), func(l hostListener) bool { return l.addr.Addr().Is6() })
}

func (s *Service) wantsIPv6() bool {
	families, _ := s.Spec.families(familyIPv4)
	return s.Spec.forwards() && slices.Contains(families, familyIPv6)
}

func endpointsOf(svc *Service, list []*Endpoints) *Endpoints {
	for _, e := range list {
		if e.Metadata.Name == svc.Metadata.Name {
			return e
		}
	}
	return nil
}

// clearServices removes what processes that died have left of services.
func (s *Store) clearServices() error {
	s.sweepSockets()
	s.sweepGroups()
	if err := networks.SweepLocal(); err != nil {
		s.log().Warn("addresses of services that are gone stay local", "error", err)
	}
	if _, err := os.Stat(s.servicesDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := s.lockServices()
	if err != nil {
		return err
	}
	defer s.unlockServices(lock)
	s.sweepServices()
	return nil
}

// sweepServices removes what processes that died have left. The lock of the
// services' directory is held.
func (s *Store) sweepServices() {
	entries, _ := os.ReadDir(s.servicesDir())
	for _, e := range entries {
		s.sweepService(place{state: filepath.Join(s.servicesDir(), e.Name())}, false)
	}
}

// sweepService removes a service that has no owner. Unless all is to go one stays
// that pods serve: another process is about to take it over.
func (s *Store) sweepService(p place, all bool) {
	if running, err := p.supervised(); err != nil || running {
		return
	}
	lock, err := p.lock() // who takes it over looks whether it is the same still
	if err != nil {
		return
	}
	defer lock.Close()
	if all || !s.serves(p) {
		os.RemoveAll(p.state)
	}
}

// serves tells whether a running pod is one of a service's.
func (s *Store) serves(p place) bool {
	var r ServiceRecord
	if readJSON(p.serviceFile(), &r) != nil || r.Service == nil {
		return false
	}
	list, err := s.List()
	return err != nil || slices.ContainsFunc(list, func(pod *Record) bool {
		return r.Service.Selects(pod.Pod) && !pod.Status.finished() && pod.Status.DeletionTimestamp == nil && len(pod.Pod.Spec.Containers) > 0
	})
}

// add registers one service: its directory appears with all that belongs into
// it.
func (r *registration) add(record *ServiceRecord) error {
	final := r.store.servicePlace(record.Service.Metadata.Name)
	p := place{name: final.name, state: filepath.Join(r.store.servicesDir(), "."+final.name)}
	if err := os.Mkdir(p.state, 0o700); err != nil {
		return err
	}
	f, err := p.lock()
	if err != nil {
		os.RemoveAll(p.state)
		return err
	}
	r.locks = append(r.locks, f)
	r.places = append(r.places, final)
	data, err := json.Marshal(record)
	if err == nil {
		err = os.WriteFile(p.serviceFile(), data, 0o600)
	}
	if err == nil {
		err = os.Rename(p.state, final.state)
	}
	if err != nil {
		os.RemoveAll(p.state)
	}
	return err
}

// release takes the services back.
func (r *registration) release() {
	for _, p := range r.places {
		// Watchers see the directory go, not files out of it.
		gone := filepath.Join(filepath.Dir(p.state), "."+p.name)
		if os.Rename(p.state, gone) == nil {
			os.RemoveAll(gone)
		}
	}
	for _, f := range r.locks {
		f.Close()
	}
	r.store.dropServicesLock()
	r.places, r.locks = nil, nil
}

// hidden tells names of directories that are about to come or to go.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }
