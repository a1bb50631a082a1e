package pod

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/peapod/peapod/proxy"
)

// offerTraffic has others ask for the counters, once there is a service. No pod
// waits for that. mu is held.
func (h *hub) offerTraffic() {
	if h.offered || len(h.services) == 0 {
		return
	}
	h.offered = true
	h.offering.Go(func() {
		var err error
		if h.traffic, err = h.store.serveTraffic(h.countTraffic); err != nil {
			h.store.log().Warn("peapod service top will miss what this process forwards", "error", err)
		}
	})
}

// countTraffic returns the counters at this moment.
func (h *hub) countTraffic(r trafficRequest) *ProcessTraffic {
	h.mu.Lock()
	proxies := slices.Collect(maps.Values(h.proxies))
	var ports []*hubPort
	for name, s := range h.services {
		_, reached := s.record.Service.address()
		if reached && (len(r.Services) == 0 || slices.Contains(r.Services, name)) {
			ports = append(ports, s.ports...)
		}
	}
	h.mu.Unlock()
	for _, p := range proxies {
		p.Settle()
	}
	t := &ProcessTraffic{PID: os.Getpid(), Ports: []PortTraffic{}}
	for _, p := range ports {
		t.Ports = append(t.Ports, p.traffic())
	}
	return t
}

func (p *hubPort) traffic() PortTraffic {
	t := PortTraffic{
		Service: p.service.record.Service.Metadata.Name, Name: p.port.Name, Port: p.port.Port, Protocol: orTCP(p.port.Protocol),
		Waiting: p.pool.Waiting(), TurnedAway: p.pool.TurnedAway(), Endpoints: []EndpointTraffic{},
	}
	for _, e := range p.pool.Endpoints() {
		t.Endpoints = append(t.Endpoints, endpointTraffic(e))
	}
	return t
}

func endpointTraffic(e proxy.EndpointStats) EndpointTraffic {
	name, _, _ := strings.Cut(e.ID, "/") // see hub.endpoints
	return EndpointTraffic{
		ID: e.ID, Name: name, Address: e.Addr.String(), States: map[string]int{e.State.String(): 1},
		Active: e.Active, Total: e.Total, Failed: e.Failed, In: e.In, Out: e.Out, Connect: e.Latency,
	}
}
