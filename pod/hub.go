package pod

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/peapod/peapod/internal/dns"
	"github.com/peapod/peapod/proxy"
)

// hub forwards connections to the services of a store, for the pods that this
// process supervises and, of the services that it has registered, for the host.
// There is one in a process for each store, while it has pods there.
type hub struct {
	store   *Store
	catalog *catalog
	dns     *dns.Server
	users   int // guarded by hubs.mu

	living   context.Context // until the hub goes
	end      context.CancelFunc
	draining sync.WaitGroup // what listens no more and still has connections

	mu       sync.Mutex
	closed   bool
	proxies  map[connectionOptions]*proxy.Proxy
	services map[string]*hubService
	pods     map[string]*hubPod // those with an address of podRange, by name
	spaces   map[string]*space  // by the pod's name; "" is the host's
	reaches  map[string]*reach  // by the pod's name

	offered  bool           // the counters; guarded by mu
	offering sync.WaitGroup // until traffic is there
	traffic  *trafficServer // or nil

	ranges hostRanges
	warned sync.Once // that services' own ports are bound in pods

	inherited map[string]*registration // services of processes that died, by name
}

// connectionOptions are those that a proxy has for all of its connections.
type connectionOptions struct {
	idleTimeout, keepAlive time.Duration
	clientHeader           bool
}

// hubService is a service that is forwarded to.
type hubService struct {
	record  *ServiceRecord
	options ServiceOptions
	ports   []*hubPort
	failed  *hostFailure // or nil
	tries   int          // to mend that
}

// hubPort is one of a service's ports.
type hubPort struct {
	service *hubService
	port    ServicePort
	pool    *proxy.Pool
	proxy   *proxy.Proxy
	outside *proxy.Proxy // for clients of the host's addresses
	pooling proxy.PoolOptions
	waits   bool // connections wait for a pod
	open    bool // connections arrive
}

func (p *hubPort) udp() bool { return p.port.Protocol == "UDP" }

var hubs = struct {
	mu   sync.Mutex
	list map[string]*hub // by the store's root
}{list: map[string]*hub{}}

// joinHub returns the hub of the store. The caller leaves it again.
func (s *Store) joinHub() (*hub, error) {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	h := hubs.list[s.root()]
	if h == nil {
		h = &hub{
			store: s, proxies: map[connectionOptions]*proxy.Proxy{}, services: map[string]*hubService{}, pods: map[string]*hubPod{},
			spaces: map[string]*space{}, reaches: map[string]*reach{}, inherited: map[string]*registration{}, dns: &dns.Server{Domain: clusterDomain, Log: s.Log},
		}
		h.living, h.end = context.WithCancel(context.Background())
		// Nothing may change before what is there is known.
		h.mu.Lock()
		defer h.mu.Unlock()
		var err error
		if h.catalog, err = s.openCatalog(h.follow); err != nil {
			return nil, err
		}
		h.update(change{all: true})
		hubs.list[s.root()] = h
	}
	h.users++
	return h, nil
}

// leave gives the hub up; with its last user it goes.
func (h *hub) leave() {
	hubs.mu.Lock()
	h.users--
	last := h.users == 0
	if last {
		delete(hubs.list, h.store.root())
	}
	hubs.mu.Unlock()
	if !last {
		return
	}
	h.catalog.close()
	h.mu.Lock()
	h.closed = true
	for name := range h.inherited {
		h.letGo(name)
	}
	h.mu.Unlock()
	h.offering.Wait()
	h.traffic.close() // who asks may wait for mu
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sp := range h.spaces {
		sp.close()
	}
	h.end()
	h.draining.Wait()
	for _, p := range h.proxies {
		p.Close()
	}
	for _, r := range h.reaches {
		r.close()
	}
}

// follow is called with what has changed in the catalog.
func (h *hub) follow(what change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.update(what)
	}
}

// notice looks at a pod whose status this process has changed, so that what
// comes next finds the services as they are.
func (h *hub) notice(pod string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	// Somebody else may have read it already, and be about to come here.
	h.catalog.readPod(pod)
	h.update(change{pods: []string{pod}})
}

// leads tells whether a service leads to a pod.
func (h *hub) leads(pod string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.catalog.leading([]string{pod})) > 0
}

// update brings everything in line with the catalog. mu is held.
func (h *hub) update(what change) {
	names := what.services
	switch {
	case what.all:
		for _, r := range h.catalog.all() {
			names = append(names, r.Service.Metadata.Name)
		}
		for name := range h.services {
			names = append(names, name)
		}
	case len(what.pods) > 0:
		names = append(names, h.catalog.leading(what.pods)...)
	}
	for _, name := range names {
		h.updateService(name)
	}
	if what.all || len(what.pods) > 0 {
		h.sweepReaches()
	}
	h.updatePods()
	h.updateNames()
	h.offerTraffic()
}

func (h *hub) updateService(name string) {
	h.settleOwner(name)
	r, have := h.catalog.service(name), h.services[name]
	if have != nil && r != have.record {
		if r != nil {
			have = h.amend(have, r)
		} else {
			h.removeService(have)
			have = nil
		}
	}
	if r == nil {
		return
	}
	if have == nil {
		if have = h.addService(r); have == nil {
			return
		}
	}
	h.again(have)
	for _, p := range have.ports {
		list := h.endpoints(have, p.port)
		p.pool.Set(list)
		p.open = len(list) > 0 || p.waits
		for _, sp := range h.spaces {
			if err := sp.lead(p); err != nil {
				h.store.log().Error("a service cannot be reached", "service", name, "port", p.port.Port, "error", err)
			}
		}
	}
}

// addService begins to forward to a service, in all namespaces.
func (h *hub) addService(r *ServiceRecord) *hubService {
	o, err := r.Service.Options()
	if err != nil {
		h.store.log().Error("a service is not forwarded to", "service", r.Service.Metadata.Name, "error", err)
		return nil
	}
	s := &hubService{record: r, options: o}
	for _, port := range r.Service.Spec.Ports {
		s.ports = append(s.ports, h.newPort(s, port))
	}
	h.services[r.Service.Metadata.Name] = s
	for _, sp := range h.spaces {
		sp.open(s)
	}
	return s
}

func (h *hub) newPort(s *hubService, port ServicePort) *hubPort {
	p := &hubPort{
		service: s, port: port, proxy: h.proxy(s.options, false), outside: h.proxy(s.options, s.options.AcceptProxyProtocol),
		pooling: poolOptions(s.record.Service, s.options), waits: s.options.Queue > 0,
	}
	p.pool = proxy.NewPool(p.pooling)
	return p
}

// removeService takes no more connections to a service. Those that are open go
// on.
func (h *hub) removeService(s *hubService) {
	delete(h.services, s.record.Service.Metadata.Name)
	h.shut(s)
}

// shut takes no more connections anywhere.
func (h *hub) shut(s *hubService) {
	for _, sp := range h.spaces {
		sp.shut(s, s.ports)
	}
	for _, p := range s.ports {
		p.pool.Set(nil)
	}
}

// proxy is the one whose connections have these options.
func (h *hub) proxy(o ServiceOptions, clientHeader bool) *proxy.Proxy {
	key := connectionOptions{o.IdleTimeout, o.KeepAlive, clientHeader}
	p := h.proxies[key]
	if p == nil {
		p = &proxy.Proxy{IdleTimeout: o.IdleTimeout, KeepAlive: o.KeepAlive, ClientHeader: clientHeader, DialRetry: dialRetry, Log: h.store.Log}
		h.proxies[key] = p
	}
	return p
}

func poolOptions(s *Service, o ServiceOptions) proxy.PoolOptions {
	policies := map[Balance]proxy.Policy{BalanceRoundRobin: proxy.RoundRobin, BalanceSourceHash: proxy.SourceHash}
	return proxy.PoolOptions{
		Policy: policies[o.Balance], Affinity: s.Affinity(), SlowStart: o.SlowStart, MaxConns: o.MaxConnections, Queue: o.Queue,
	}
}

// address is where the service is reached from everywhere; a headless service
// and one that stands for another name have none.
func (s *Service) address() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(s.Spec.ClusterIP)
	return ip, err == nil && s.Spec.Type != ServiceExternalName
}

// addresses are all of these, first that one.
func (s *Service) addresses() (list []netip.Addr) {
	first, ok := s.address()
	if !ok {
		return nil
	}
	list = append(list, first)
	for _, text := range s.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil && ip != first {
			list = append(list, ip)
		}
	}
	return list
}

// endpoints are where a service's port leads to now.
func (h *hub) endpoints(s *hubService, port ServicePort) (list []proxy.Endpoint) {
	r := s.record
	if r.Endpoints != nil {
		return r.Endpoints.endpoints(r.Service, port, s.options)
	}
	for _, p := range h.catalog.selected(r.Service) {
		if p.state.ending || !p.state.ready && !r.Service.Spec.PublishNotReadyAddresses {
			continue
		}
		number, ok := p.pod.Port(port.TargetPort, port.Protocol)
		if !ok {
			h.store.log().Warn("a pod has no such port", "service", r.Service.Metadata.Name, "pod", p.pod.Metadata.Name, "port", port.TargetPort.String())
			continue
		}
		reach, err := h.reach(p)
		if err == nil && s.options.Transparent {
			err = reach.allowTransparent()
		}
		if err != nil {
			h.store.log().Warn("a pod is not reached", "service", r.Service.Metadata.Name, "pod", p.pod.Metadata.Name, "error", err)
			continue
		}
		list = append(list, proxy.Endpoint{
			ID:   fmt.Sprintf("%s/%d-%d", p.pod.Metadata.Name, p.state.supervisor, p.state.started),
			Addr: netip.AddrPortFrom(localhost, uint16(number)), Sockets: reach.sockets,
			Header: s.options.SendProxyProtocol, Transparent: s.options.Transparent,
		})
	}
	return list
}

// endpoints are those by hand for a port of their service. Their addresses are
// the host's.
func (e *Endpoints) endpoints(s *Service, port ServicePort, o ServiceOptions) (list []proxy.Endpoint) {
	for _, subset := range e.Subsets {
		for _, p := range subset.Ports {
			if p.Name != port.Name || orTCP(p.Protocol) != orTCP(port.Protocol) {
				continue
			}
			addresses := subset.Addresses
			if s.Spec.PublishNotReadyAddresses {
				addresses = append(addresses[:len(addresses):len(addresses)], subset.NotReadyAddresses...)
			}
			for _, a := range addresses {
				if ip, err := netip.ParseAddr(a.IP); err == nil {
					addr := netip.AddrPortFrom(ip, uint16(p.Port))
					if !slices.ContainsFunc(list, func(e proxy.Endpoint) bool { return e.Addr == addr }) {
						list = append(list, proxy.Endpoint{ID: addr.String(), Addr: addr, Header: o.SendProxyProtocol})
					}
				}
			}
		}
	}
	return list
}

// attach lets the services be found and reached from a pod's network namespace.
func (h *hub) attach(s *Supervisor, netns *os.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	sp := newSpace(h, netns)
	sp.own, sp.podLog = s.loopback, s.store.Log
	sp.hosts, sp.hostsBase = s.hostsFile("hosts"), s.hosts
	if s.pod.servesDNS() {
		if err := sp.serveDNS(); err != nil {
			return fmt.Errorf("listen for DNS queries in the pod: %w", err)
		}
	}
	h.spaces[s.place.name] = sp
	for _, s := range h.services {
		sp.open(s)
	}
	for _, p := range h.pods {
		sp.open(p.hubService)
	}
	return sp.writeHosts(h.hostsLines())
}

// detach ends what attach began.
func (h *hub) detach(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sp := h.spaces[name]; sp != nil {
		delete(h.spaces, name)
		sp.close()
	}
	if r := h.reaches[name]; r != nil {
		delete(h.reaches, name)
		r.close()
	}
}

// hostSpace is the name of the host's network namespace among those of pods.
const hostSpace = ""

// expose lets services that this process has registered be reached from the
// host. The error tells which address is in the way; then nothing is left.
func (h *hub) expose(r *registration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	host := h.hostSpace()
	var names []string
	for _, record := range r.records {
		name := record.Service.Metadata.Name
		names = append(names, name)
		h.catalog.readService(name)
	}
	h.catalog.watchPods()
	h.update(change{services: names})
	for _, record := range r.records {
		service := h.services[record.Service.Metadata.Name]
		if service != nil && !host.has(service) {
			host.open(service) // it was known before there was host
		}
		if err := host.openAll(service, record.Service); err != nil {
			h.withdrawLocked(r)
			return err
		}
	}
	return nil
}

// hostSpace is the space of the host, from which what this process has to offer is
// reached. mu is held.
func (h *hub) hostSpace() *space {
	host := h.spaces[hostSpace]
	if host == nil {
		host = newSpace(h, nil)
		h.spaces[hostSpace] = host
	}
	return host
}

// withdraw takes services back that were exposed.
func (h *hub) withdraw(r *registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.withdrawLocked(r)
}

func (h *hub) withdrawLocked(r *registration) {
	r.release()
	var names []string
	for _, record := range r.records {
		names = append(names, record.Service.Metadata.Name)
		h.catalog.readService(record.Service.Metadata.Name)
	}
	h.update(change{services: names})
}
