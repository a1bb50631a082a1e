package pod

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// EndpointState says whether a service's endpoint is to receive connections.
type EndpointState string

// The states of endpoints.
const (
	EndpointReady    EndpointState = "ready"
	EndpointNotReady EndpointState = "not ready"
	// EndpointEnding is a pod that is being stopped: it keeps the connections
	// that it has.
	EndpointEnding EndpointState = "ending"
)

// ServiceEndpoint is a pod that a service selects, or an address by hand.
type ServiceEndpoint struct {
	// Name is the pod's, or the address by hand.
	Name string `json:"name"`
	// Pod tells that it is a pod.
	Pod bool `json:"pod"`
	// IP is the address: of a pod only where it has one of its own, or where
	// a headless service leads to its loopback address.
	IP string `json:"ip,omitempty"`
	// Hostname is the pod's name below that of a headless service.
	Hostname string `json:"hostname,omitempty"`
	// Ports are the endpoint's, with the names of the service's ports.
	Ports []EndpointPort `json:"ports,omitempty"`
	State EndpointState  `json:"state"`
	// Reason says why it is not ready, or lacks a port.
	Reason string `json:"reason,omitempty"`
	// Receives tells whether new connections are led there.
	Receives bool `json:"receives"`
}

// Leads returns what a service leads to: those of the pods that it selects,
// except those that have ended, or its endpoints by hand.
func (r *ServiceRecord) Leads(pods []*Record) (list []ServiceEndpoint) {
	if r.Endpoints != nil {
		list = r.byHand()
	} else {
		for _, p := range pods {
			if r.Service.Selects(p.Pod) && !p.Status.finished() && len(p.Pod.Spec.Containers) > 0 {
				list = append(list, r.Service.endpoint(p))
			}
		}
	}
	for i := range list {
		e := &list[i]
		reachable := len(e.Ports) > 0 || len(r.Service.Spec.Ports) == 0
		e.Receives = reachable && (e.State == EndpointReady || e.State == EndpointNotReady && r.Service.Spec.PublishNotReadyAddresses)
	}
	slices.SortStableFunc(list, func(a, b ServiceEndpoint) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// endpoint is what a pod is to the service.
func (s *Service) endpoint(p *Record) ServiceEndpoint {
	e := ServiceEndpoint{Name: p.Pod.Metadata.Name, Pod: true, IP: p.Status.PodIP, State: EndpointReady}
	if s.Spec.ClusterIP == HeadlessIP {
		e.IP = cmp.Or(e.IP, p.Status.LoopbackIP)
		e.Hostname = p.Pod.forServices().hostnameIn(s)
	}
	var reasons []string
	switch state := p.Status.forServices(); {
	case state.ending:
		e.State = EndpointEnding
	case !state.ready:
		e.State = EndpointNotReady
		reasons = append(reasons, p.Status.whyNotReady())
	}
	for _, port := range s.Spec.Ports {
		if number, ok := s.headlessPort(port, p.Pod); ok {
			e.Ports = append(e.Ports, EndpointPort{Name: port.Name, Port: number, Protocol: orTCP(port.Protocol)})
		} else {
			reasons = append(reasons, fmt.Sprintf("it has no %s port named %s", orTCP(port.Protocol), port.TargetPort))
		}
	}
	e.Reason = strings.Join(reasons, "; ")
	return e
}

// whyNotReady is from the conditions of a pod that is not ready.
func (s *PodStatus) whyNotReady() string {
	for _, c := range s.Conditions {
		if c.Type == PodReady && c.Status != "True" {
			if text := cmp.Or(c.Message, c.Reason); text != "" {
				return text
			}
		}
	}
	return "it is being started"
}

// byHand are the endpoints of a service without a selector.
func (r *ServiceRecord) byHand() (list []ServiceEndpoint) {
	for _, subset := range r.Endpoints.Subsets {
		ports := subset.portsOf(r.Service)
		add := func(addresses []EndpointAddress, state EndpointState, reason string) {
			if len(ports) == 0 && len(r.Service.Spec.Ports) > 0 {
				reason = "none of its ports has the name and protocol of one of the service's"
			}
			for _, a := range addresses {
				list = append(list, ServiceEndpoint{Name: a.IP, IP: a.IP, Ports: ports, State: state, Reason: reason})
			}
		}
		add(subset.Addresses, EndpointReady, "")
		add(subset.NotReadyAddresses, EndpointNotReady, "it is one of notReadyAddresses")
	}
	return list
}

// portsOf are the ports that belong to those of the service.
func (e *EndpointSubset) portsOf(s *Service) (list []EndpointPort) {
	for _, p := range e.Ports {
		if slices.ContainsFunc(s.Spec.Ports, func(port ServicePort) bool {
			return p.Name == port.Name && orTCP(p.Protocol) == orTCP(port.Protocol)
		}) {
			list = append(list, p)
		}
	}
	return list
}
