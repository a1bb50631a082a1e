package pod

// Endpoints are Kubernetes v1 Endpoints: what the service of the same name leads
// to, where that has no selector. So a service can lead out of this machine, or
// to a process of the host.
type Endpoints struct {
	APIVersion string           `json:"apiVersion"` // "v1"
	Kind       string           `json:"kind"`       // "Endpoints"
	Metadata   Metadata         `json:"metadata"`
	Subsets    []EndpointSubset `json:"subsets,omitempty"`

	source *source
}

// EndpointSubset is each of its addresses with each of its ports.
type EndpointSubset struct {
	Addresses []EndpointAddress `json:"addresses,omitempty"`
	// NotReadyAddresses receive connections only from a service that
	// publishes those.
	NotReadyAddresses []EndpointAddress `json:"notReadyAddresses,omitempty"`
	Ports             []EndpointPort    `json:"ports,omitempty"`
}

// EndpointAddress is one address. A loopback address is that of the host, which
// Kubernetes does not take.
type EndpointAddress struct {
	IP string `json:"ip"`
	// Hostname names it below a headless service.
	Hostname string `json:"hostname,omitempty"`
}

// EndpointPort belongs to the service's port of the same name.
type EndpointPort struct {
	// Name is needed where there are several ports.
	Name        string `json:"name,omitempty"`
	Port        int    `json:"port"`
	Protocol    string `json:"protocol,omitempty"`
	AppProtocol string `json:"appProtocol,omitempty"`
}

// SetDefaults fills in what Kubernetes fills in: namespace and protocols.
func (e *Endpoints) SetDefaults() {
	setDefault(&e.Metadata.Namespace, "default")
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			setDefault(&e.Subsets[i].Ports[j].Protocol, "TCP")
		}
	}
}

// Errorf returns an *Error about a field of the endpoints, as Pod.Errorf does.
func (e *Endpoints) Errorf(field, format string, args ...any) error {
	return e.source.errorf(field, format, args...)
}
