package pod

import (
	"errors"
	"time"

	"github.com/peapod/peapod/internal/strict"
)

// Service is a Kubernetes v1 Service: one address and name for all pods that its
// selector selects, or for what Endpoints of its name lists.
type Service struct {
	APIVersion string        `json:"apiVersion"` // "v1"
	Kind       string        `json:"kind"`       // "Service"
	Metadata   Metadata      `json:"metadata"`
	Spec       ServiceSpec   `json:"spec"`
	Status     ServiceStatus `json:"status,omitzero"`

	source *source
}

// ServiceStatus is filled in when the service is registered. In manifests it is
// accepted when empty, as kubectl writes it.
type ServiceStatus struct {
	LoadBalancer LoadBalancerStatus `json:"loadBalancer,omitzero"`
}

// LoadBalancerStatus says where clients from elsewhere reach a service of the
// type LoadBalancer.
type LoadBalancerStatus struct {
	Ingress []LoadBalancerIngress `json:"ingress,omitempty"`
}

// LoadBalancerIngress is an address of this machine: loadBalancerIP, or the one
// that it has towards the world, of all at which the service listens.
type LoadBalancerIngress struct {
	IP     string `json:"ip"`
	IPMode string `json:"ipMode"` // "Proxy": pods do not see it as their own address
	// Ports are the service's.
	Ports []IngressPort `json:"ports"`
}

// IngressPort is a port of a LoadBalancerIngress.
type IngressPort struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

// UnmarshalNode takes an empty one.
func (*LoadBalancerStatus) UnmarshalNode(n *strict.Node) error {
	if n.Kind != strict.Object || len(n.Members) > 0 {
		return errors.New("not supported: " + byServer + "; leave it out")
	}
	return nil
}

// ServiceType says from where a service can be reached.
type ServiceType string

// The types of services; ClusterIP where the spec is silent.
const (
	// ServiceClusterIP is reached at its cluster IP, from pods and the host.
	ServiceClusterIP ServiceType = "ClusterIP"
	// ServiceNodePort is reached at its node ports too, on all addresses of
	// the host.
	ServiceNodePort ServiceType = "NodePort"
	// ServiceLoadBalancer is reached at its ports too, on LoadBalancerIP or
	// all addresses of the host: this machine is the load balancer.
	ServiceLoadBalancer ServiceType = "LoadBalancer"
	// ServiceExternalName is a name that stands for another one.
	ServiceExternalName ServiceType = "ExternalName"
)

// HeadlessIP is the ClusterIP of a service that has none: its name stands for
// the addresses of its endpoints.
const HeadlessIP = "None"

// ServiceSpec is what a service consists of.
type ServiceSpec struct {
	Type ServiceType `json:"type,omitempty"`
	// Selector has the labels of the pods; without one there are Endpoints of
	// the service's name.
	Selector map[string]string `json:"selector,omitempty"`
	Ports    []ServicePort     `json:"ports,omitempty"`
	// ClusterIP is an address of Store.ServiceRanges, HeadlessIP, or "": one is
	// chosen. ClusterIPs, if given, has the same one first, and maybe one of the
	// other family.
	ClusterIP  string   `json:"clusterIP,omitempty"`
	ClusterIPs []string `json:"clusterIPs,omitempty"`
	// IPFamilies are IPv4, IPv6 or both, in order. IPFamilyPolicy is SingleStack,
	// PreferDualStack or RequireDualStack; where it is absent, that of the addresses
	// and families.
	IPFamilies     []string `json:"ipFamilies,omitempty"`
	IPFamilyPolicy string   `json:"ipFamilyPolicy,omitempty"`
	// ExternalName is a DNS name, with ServiceExternalName only.
	ExternalName string `json:"externalName,omitempty"`
	// ExternalIPs are addresses of the host at which the ports listen too.
	ExternalIPs    []string `json:"externalIPs,omitempty"`
	LoadBalancerIP string   `json:"loadBalancerIP,omitempty"`
	// AllocateLoadBalancerNodePorts false gives a load balancer only those
	// node ports that it asks for.
	AllocateLoadBalancerNodePorts *bool `json:"allocateLoadBalancerNodePorts,omitempty"`
	// SessionAffinity is None or AffinityClientIP.
	SessionAffinity       string                 `json:"sessionAffinity,omitempty"`
	SessionAffinityConfig *SessionAffinityConfig `json:"sessionAffinityConfig,omitempty"`
	// PublishNotReadyAddresses has pods receive connections before they are
	// ready.
	PublishNotReadyAddresses bool `json:"publishNotReadyAddresses,omitempty"`
	// InternalTrafficPolicy is Cluster, or Local for a service with a
	// selector, whose pods are all local.
	InternalTrafficPolicy string `json:"internalTrafficPolicy,omitempty"`
}

// AffinityClientIP is the session affinity that leads a client to the same pod
// each time.
const AffinityClientIP = "ClientIP"

// SessionAffinityConfig is for AffinityClientIP.
type SessionAffinityConfig struct {
	ClientIP *ClientIPConfig `json:"clientIP,omitempty"`
}

// ClientIPConfig says for how long a client is remembered; 10800 seconds where
// absent.
type ClientIPConfig struct {
	TimeoutSeconds *int `json:"timeoutSeconds,omitempty"`
}

// ServicePort is a port of a service.
type ServicePort struct {
	// Name is a DNS label; it is needed where there are several ports.
	Name string `json:"name,omitempty"`
	// Protocol is TCP or UDP.
	Protocol string `json:"protocol,omitempty"`
	// Port is the service's, TargetPort its pods'. SetDefaults makes them
	// equal where the latter is absent.
	Port       int     `json:"port"`
	TargetPort PortRef `json:"targetPort,omitzero"`
	// NodePort is 30000 to 32767. 0 is one that is free for ServiceNodePort and
	// ServiceLoadBalancer, and none otherwise.
	NodePort int `json:"nodePort,omitempty"`
	// AppProtocol informs whoever reads it.
	AppProtocol string `json:"appProtocol,omitempty"`
}

const defaultAffinitySeconds = 3 * 3600

// SetDefaults fills in what Kubernetes fills in: namespace, type, protocols,
// target ports, session affinity, and the one of ClusterIP and ClusterIPs that
// is not there.
func (s *Service) SetDefaults() {
	setDefault(&s.Metadata.Namespace, "default")
	setDefault(&s.Spec.Type, ServiceClusterIP)
	setDefault(&s.Spec.SessionAffinity, "None")
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		setDefault(&p.Protocol, "TCP")
		if p.TargetPort.IsZero() && s.Spec.ClusterIP != HeadlessIP {
			p.TargetPort.Number = p.Port
		}
	}
	s.Spec.oneAddress()
}

// oneAddress makes clusterIP the first of clusterIPs, whichever is there.
func (s *ServiceSpec) oneAddress() {
	switch {
	case s.ClusterIP == "" && len(s.ClusterIPs) > 0:
		s.ClusterIP = s.ClusterIPs[0]
	case s.ClusterIP != "" && s.ClusterIPs == nil:
		s.ClusterIPs = []string{s.ClusterIP}
	}
}

// Errorf returns an *Error about a field of the service, as Pod.Errorf does.
func (s *Service) Errorf(field, format string, args ...any) error {
	return s.source.errorf(field, format, args...)
}

// Selects reports whether the service leads to a pod. Without a selector it
// leads to none.
func (s *Service) Selects(p *Pod) bool {
	if len(s.Spec.Selector) == 0 || s.Spec.Type == ServiceExternalName || p.Metadata.Namespace != s.Metadata.Namespace {
		return false
	}
	return contains(p.Metadata.Labels, s.Spec.Selector)
}

// contains reports whether labels has all of the wanted ones.
func contains(labels, want map[string]string) bool {
	for key, value := range want {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// Affinity returns for how long a client is led to the same pod; 0 is not at
// all.
func (s *Service) Affinity() time.Duration {
	if s.Spec.SessionAffinity != AffinityClientIP {
		return 0
	}
	seconds := defaultAffinitySeconds
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}
