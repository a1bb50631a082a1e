package pod

import (
	"cmp"
	"slices"

	"github.com/peapod/peapod/proxy"
)

// ProcessTraffic is what one process has forwarded to services since it began
// to: a supervisor does it for its own pods, and for the services that it has
// registered for the host.
type ProcessTraffic struct {
	PID   int           `json:"pid"`
	Ports []PortTraffic `json:"ports"`
}

// PortTraffic is what has gone to one port of a service.
type PortTraffic struct {
	Service string `json:"service"`
	// Name, Port and Protocol are those of the service's port.
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	// Waiting is how many clients wait for an endpoint now.
	Waiting int `json:"waiting"`
	// TurnedAway are clients that got no endpoint.
	TurnedAway proxy.TurnedAway  `json:"turnedAway"`
	Endpoints  []EndpointTraffic `json:"endpoints"`
}

// EndpointTraffic is what has gone to one endpoint.
type EndpointTraffic struct {
	// ID tells pods of the same name apart: NAME/PID of the supervisor. Of
	// endpoints by hand it is the address.
	ID string `json:"id"`
	// Name is the pod's, or the address.
	Name string `json:"name"`
	// Address is what is connected to, of a pod from inside of it.
	Address string `json:"address"`
	// States are those of proxy.EndpointState by name, with the number of
	// processes that see the endpoint so.
	States map[string]int `json:"states"`
	Active int            `json:"active"` // connections, or UDP flows, now
	Total  uint64         `json:"total"`  // times that it was chosen
	Failed uint64         `json:"failed"` // of these, connections that could not be made
	In     int64          `json:"in"`     // bytes to the endpoint
	Out    int64          `json:"out"`    // bytes from it
	// Connect is how long it took to connect, nil before the first time.
	Connect *proxy.Histogram `json:"connect,omitempty"`
}

// MergeTraffic adds up what several processes have forwarded: one entry for each
// port of a service, ordered, with one for each endpoint.
func MergeTraffic(list []ProcessTraffic) (merged []PortTraffic) {
	type portKey struct {
		service, protocol string
		port              int
	}
	ports := map[portKey]*portMerge{}
	for _, process := range list {
		for _, p := range process.Ports {
			key := portKey{p.Service, p.Protocol, p.Port}
			m := ports[key]
			if m == nil {
				m = &portMerge{port: p, endpoints: map[[2]string]*EndpointTraffic{}}
				m.port.Waiting, m.port.TurnedAway, m.port.Endpoints = 0, proxy.TurnedAway{}, nil
				ports[key] = m
			}
			m.add(&p)
		}
	}
	for _, m := range ports {
		merged = append(merged, m.result())
	}
	slices.SortFunc(merged, func(a, b PortTraffic) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	return merged
}

// portMerge adds up what has gone to a port.
type portMerge struct {
	port      PortTraffic
	endpoints map[[2]string]*EndpointTraffic // by ID and address
}

func (m *portMerge) add(p *PortTraffic) {
	m.port.Waiting += p.Waiting
	m.port.TurnedAway = m.port.TurnedAway.Plus(p.TurnedAway)
	for _, e := range p.Endpoints {
		key := [2]string{e.ID, e.Address}
		sum := m.endpoints[key]
		if sum == nil {
			sum = &EndpointTraffic{ID: e.ID, Name: e.Name, Address: e.Address, States: map[string]int{}}
			m.endpoints[key] = sum
		}
		sum.add(&e)
	}
}

func (m *portMerge) result() PortTraffic {
	m.port.Endpoints = []EndpointTraffic{}
	for _, e := range m.endpoints {
		m.port.Endpoints = append(m.port.Endpoints, *e)
	}
	slices.SortFunc(m.port.Endpoints, func(a, b EndpointTraffic) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Address, b.Address))
	})
	return m.port
}

func (e *EndpointTraffic) add(from *EndpointTraffic) {
	for state, n := range from.States {
		e.States[state] += n
	}
	e.Active += from.Active
	e.Total += from.Total
	e.Failed += from.Failed
	e.In += from.In
	e.Out += from.Out
	if from.Connect != nil {
		if e.Connect == nil {
			e.Connect = &proxy.Histogram{}
		}
		e.Connect.Merge(from.Connect)
	}
}
