package pod

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/peapod/peapod/proxy"
)

// hubPod is a pod that headless services lead to, and that has no address but one
// of podRange: there its ports are forwarded to, as those of a service.
type hubPod struct {
	*hubService
	key string // what it was made of
}

// podPort is a port of a pod.
type podPort struct {
	number   int
	protocol string
}

// updatePods forwards to the pods that headless services select now, ready or not:
// whether names lead to them is another matter. mu is held.
func (h *hub) updatePods() {
	pods, ports := h.headlessPods()
	for name, p := range h.pods {
		if now := pods[name]; now == nil || p.key != podKey(now, ports[name]) {
			delete(h.pods, name)
			h.shut(p.hubService)
		}
	}
	for name, now := range pods {
		if h.pods[name] == nil {
			h.addPod(now, ports[name])
		}
	}
}

func podKey(p *catalogPod, ports []podPort) string {
	return fmt.Sprint(p.state.supervisor, p.state.started, p.state.netns, p.state.loopback, ports)
}

// headlessPods are the pods with an address of podRange that headless services
// select, and the ports of each: those that its containers declare, and those that
// the services have.
func (h *hub) headlessPods() (map[string]*catalogPod, map[string][]podPort) {
	pods, ports := map[string]*catalogPod{}, map[string][]podPort{}
	for _, s := range h.services {
		service := s.record.Service
		if service.Spec.ClusterIP != HeadlessIP || s.record.Endpoints != nil {
			continue
		}
		for _, p := range h.catalog.selected(service) {
			if p.state.loopback == "" {
				continue
			}
			name := p.pod.Metadata.Name
			pods[name] = p
			ports[name] = append(append(ports[name], declaredPorts(p.pod)...), headlessPorts(service, p.pod)...)
		}
	}
	for name := range ports {
		slices.SortFunc(ports[name], func(a, b podPort) int {
			return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.protocol, b.protocol))
		})
		ports[name] = slices.Compact(ports[name])
	}
	return pods, ports
}

func declaredPorts(p *Pod) (list []podPort) {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			list = append(list, podPort{port.ContainerPort, orTCP(port.Protocol)})
		}
	}
	return list
}

// headlessPorts are those of a pod that the service's ports stand for.
func headlessPorts(s *Service, p *Pod) (list []podPort) {
	for _, port := range s.Spec.Ports {
		if number, ok := s.headlessPort(port, p); ok {
			list = append(list, podPort{number, orTCP(port.Protocol)})
		}
	}
	return list
}

// headlessPort is the port of a pod that one of a headless service stands for.
func (s *Service) headlessPort(port ServicePort, p *Pod) (number int, ok bool) {
	if port.TargetPort.IsZero() {
		return port.Port, true
	}
	return p.Port(port.TargetPort, port.Protocol)
}

// addPod begins to forward to a pod's address, in all namespaces but its own; on
// the host its supervisor does it.
func (h *hub) addPod(p *catalogPod, ports []podPort) {
	name := p.pod.Metadata.Name
	reach, err := h.reach(p)
	if err != nil {
		h.store.log().Warn("a pod is not reached", "pod", name, "error", err)
		return
	}
	service := &Service{Metadata: Metadata{Name: name}, Spec: ServiceSpec{ClusterIP: p.state.loopback}}
	s := &hubService{record: &ServiceRecord{Service: service, PID: p.state.supervisor}}
	for _, port := range ports {
		forwarded := &hubPort{service: s, port: ServicePort{Port: port.number, Protocol: port.protocol}, proxy: h.proxy(s.options, false), pool: proxy.NewPool(proxy.PoolOptions{}), open: true}
		forwarded.pool.Set(podEndpoints(p, forwarded, reach))
		s.ports = append(s.ports, forwarded)
	}
	h.pods[name] = &hubPod{s, podKey(p, ports)}
	if s.record.PID == os.Getpid() {
		h.hostSpace()
	}
	for _, sp := range h.spaces {
		sp.open(s)
	}
}

// podEndpoints are where a port of a pod is: on 127.0.0.1 or, if nobody is there, at
// the pod's own address, where its programs may listen alone. An answer by UDP would
// come from the former.
func podEndpoints(p *catalogPod, port *hubPort, r *reach) []proxy.Endpoint {
	const rather = 1000
	number := uint16(port.port.Port)
	list := []proxy.Endpoint{{ID: "127.0.0.1", Addr: netip.AddrPortFrom(localhost, number), Sockets: r.sockets, Weight: rather}}
	if own, err := netip.ParseAddr(p.state.loopback); err == nil && !port.udp() {
		list = append(list, proxy.Endpoint{ID: "own", Addr: netip.AddrPortFrom(own, number), Sockets: r.sockets})
	}
	return list
}

// localhost is where services reach the programs of a pod.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})
