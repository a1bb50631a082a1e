package pod

// EndpointSlice is a Kubernetes discovery.k8s.io/v1 EndpointSlice: a part of what a
// service without a selector leads to. It stands for Endpoints, which see.
type EndpointSlice struct {
	APIVersion string   `json:"apiVersion"` // "discovery.k8s.io/v1"
	Kind       string   `json:"kind"`       // "EndpointSlice"
	Metadata   Metadata `json:"metadata"`   // with LabelServiceName
	// AddressType is IPv4 or IPv6.
	AddressType string          `json:"addressType"`
	Endpoints   []SliceEndpoint `json:"endpoints"`
	Ports       []EndpointPort  `json:"ports,omitempty"`

	source *source
}

// LabelServiceName is the label of an EndpointSlice with its service's name.
const LabelServiceName = "kubernetes.io/service-name"

// SliceEndpoint is one endpoint of a slice.
type SliceEndpoint struct {
	// Addresses are all of the same endpoint.
	Addresses  []string           `json:"addresses"`
	Conditions EndpointConditions `json:"conditions,omitzero"`
	// Hostname names it below a headless service.
	Hostname string `json:"hostname,omitempty"`
}

// EndpointConditions say how an endpoint is; absent ones are good ones.
type EndpointConditions struct {
	Ready       *bool `json:"ready,omitempty"`
	Serving     *bool `json:"serving,omitempty"`
	Terminating *bool `json:"terminating,omitempty"`
}

// ready tells whether it receives connections.
func (c EndpointConditions) ready() bool {
	return (c.Ready == nil || *c.Ready) && (c.Terminating == nil || !*c.Terminating)
}

// SetDefaults fills in what Kubernetes fills in: namespace and protocols.
func (e *EndpointSlice) SetDefaults() {
	setDefault(&e.Metadata.Namespace, "default")
	for i := range e.Ports {
		setDefault(&e.Ports[i].Protocol, "TCP")
	}
}

// Errorf returns an *Error about a field of the slice, as Pod.Errorf does.
func (e *EndpointSlice) Errorf(field, format string, args ...any) error {
	return e.source.errorf(field, format, args...)
}

// Service is the name of its service.
func (e *EndpointSlice) Service() string { return e.Metadata.Labels[LabelServiceName] }

// subset is the slice as one of Endpoints.
func (e *EndpointSlice) subset() EndpointSubset {
	s := EndpointSubset{Ports: e.Ports}
	for _, endpoint := range e.Endpoints {
		list := &s.Addresses
		if !endpoint.Conditions.ready() {
			list = &s.NotReadyAddresses
		}
		for _, ip := range endpoint.Addresses {
			*list = append(*list, EndpointAddress{IP: ip, Hostname: endpoint.Hostname})
		}
	}
	return s
}

// allEndpoints are the manifest's Endpoints and, for each service that has some,
// one of its slices.
func (m *Manifest) allEndpoints() []*Endpoints {
	list := m.Endpoints[:len(m.Endpoints):len(m.Endpoints)]
	sliced := map[string]*Endpoints{}
	for _, slice := range m.EndpointSlices {
		name := slice.Service()
		if sliced[name] == nil {
			sliced[name] = &Endpoints{APIVersion: "v1", Kind: "Endpoints", Metadata: Metadata{Name: name, Namespace: slice.Metadata.Namespace}}
			list = append(list, sliced[name])
		}
		sliced[name].Subsets = append(sliced[name].Subsets, slice.subset())
	}
	return list
}
