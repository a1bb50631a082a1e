package main

import (
	"slices"
	"time"

	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/proxy"
)

// topView is what peapod service top shows.
type topView struct {
	Time time.Time `json:"time"`
	// Seconds is what the rates are of; 0 where there are none yet.
	Seconds float64   `json:"seconds"`
	Ports   []topPort `json:"ports"`
	// Unanswered tells which processes did not say what they forward.
	Unanswered []string `json:"unanswered,omitempty"`
}

// topPort is a port of a service.
type topPort struct {
	Service  string `json:"service"`
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Waiting  int    `json:"waiting"`
	topCounts
	Endpoints []topEndpoint `json:"endpoints"`
}

// topEndpoint is one of its endpoints.
type topEndpoint struct {
	Name    string         `json:"name"`
	ID      string         `json:"id"`
	Address string         `json:"address"`
	States  map[string]int `json:"states"` // how many processes see it so
	topCounts
}

// topCounts are the counters of both.
type topCounts struct {
	Active    int        `json:"active"`
	Total     uint64     `json:"total"`
	Failed    uint64     `json:"failed"`
	In        int64      `json:"in"`
	Out       int64      `json:"out"`
	PerSecond *topRates  `json:"perSecond,omitempty"`
	Connect   topLatency `json:"connectMicroseconds"`

	latency *proxy.Histogram
}

type topRates struct {
	Connections float64 `json:"connections"`
	Failed      float64 `json:"failed"`
	In          float64 `json:"in"`
	Out         float64 `json:"out"`
}

type topLatency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// newTopView shows the services with these names, or all. before is nil where
// nobody was asked yet.
func newTopView(services []*pod.ServiceRecord, names []string, before, after []pod.ProcessTraffic, span time.Duration) *topView {
	v := &topView{Ports: []topPort{}}
	if before != nil {
		v.Seconds = span.Seconds()
	}
	sums, changes := index(after), index(since(before, after))
	for _, r := range services {
		name := r.Service.Metadata.Name
		if len(names) > 0 && !slices.Contains(names, name) || len(r.Listeners()) == 0 {
			continue
		}
		for _, p := range r.Service.Spec.Ports {
			key := trafficKey{name, p.Port, p.Protocol}
			v.Ports = append(v.Ports, v.port(key, p.Name, sums[key], changes[key]))
		}
	}
	return v
}

type trafficKey struct {
	service  string
	port     int
	protocol string
}

func index(list []pod.ProcessTraffic) map[trafficKey]pod.PortTraffic {
	m := map[trafficKey]pod.PortTraffic{}
	for _, p := range pod.MergeTraffic(list) {
		m[trafficKey{p.Service, p.Port, p.Protocol}] = p
	}
	return m
}

func (v *topView) port(key trafficKey, name string, sum, change pod.PortTraffic) topPort {
	t := topPort{Service: key.service, Name: name, Port: key.port, Protocol: key.protocol, Waiting: sum.Waiting, Endpoints: []topEndpoint{}}
	var all, moved pod.EndpointTraffic
	histogram := &proxy.Histogram{}
	for _, e := range sum.Endpoints {
		i := slices.IndexFunc(change.Endpoints, func(c pod.EndpointTraffic) bool { return c.ID == e.ID && c.Address == e.Address })
		var c pod.EndpointTraffic
		if i >= 0 {
			c = change.Endpoints[i]
		}
		t.Endpoints = append(t.Endpoints, topEndpoint{Name: e.Name, ID: e.ID, Address: e.Address, States: e.States, topCounts: v.counts(&e, &c)})
		count(&all, &e)
		count(&moved, &c)
		if e.Connect != nil {
			histogram.Merge(e.Connect)
		}
	}
	all.Connect = histogram
	all.Failed += sum.TurnedAway.Sum() - sum.TurnedAway.Unreachable // those have failed at an endpoint
	t.topCounts = v.counts(&all, &moved)
	return t
}

func count(sum, e *pod.EndpointTraffic) {
	sum.Active += e.Active
	sum.Total += e.Total
	sum.Failed += e.Failed
	sum.In += e.In
	sum.Out += e.Out
}

func (v *topView) counts(sum, change *pod.EndpointTraffic) topCounts {
	c := topCounts{Active: sum.Active, Total: sum.Total, Failed: sum.Failed, In: sum.In, Out: sum.Out}
	if h := sum.Connect; h != nil && h.Count() > 0 {
		micro := func(q float64) float64 { return float64(h.Quantile(q)) / float64(time.Microsecond) }
		c.latency, c.Connect = h, topLatency{h.Count(), micro(0.5), micro(0.99)}
	}
	if v.Seconds > 0 {
		c.PerSecond = &topRates{
			Connections: float64(change.Total) / v.Seconds, Failed: float64(change.Failed) / v.Seconds,
			In: float64(change.In) / v.Seconds, Out: float64(change.Out) / v.Seconds,
		}
	}
	return c
}

// since is by how much the counters of processes have grown that were asked
// before. What an endpoint has that was not there is new.
func since(before, after []pod.ProcessTraffic) (list []pod.ProcessTraffic) {
	type key struct {
		pid int
		trafficKey
		id, address string
	}
	old, known := map[key]pod.EndpointTraffic{}, map[int]bool{}
	each := func(list []pod.ProcessTraffic, f func(key, *pod.EndpointTraffic, *pod.PortTraffic)) {
		for _, process := range list {
			for _, p := range process.Ports {
				for _, e := range p.Endpoints {
					f(key{process.PID, trafficKey{p.Service, p.Port, p.Protocol}, e.ID, e.Address}, &e, &p)
				}
			}
		}
	}
	for _, process := range before {
		known[process.PID] = true
	}
	each(before, func(k key, e *pod.EndpointTraffic, _ *pod.PortTraffic) { old[k] = *e })
	each(after, func(k key, e *pod.EndpointTraffic, p *pod.PortTraffic) {
		if !known[k.pid] {
			return
		}
		was := old[k]
		if e.Total < was.Total {
			was = pod.EndpointTraffic{} // counted anew
		}
		change := pod.EndpointTraffic{
			ID: e.ID, Name: e.Name, Address: e.Address,
			Total: e.Total - was.Total, Failed: max(e.Failed, was.Failed) - was.Failed, In: max(e.In-was.In, 0), Out: max(e.Out-was.Out, 0),
		}
		list = append(list, pod.ProcessTraffic{PID: k.pid, Ports: []pod.PortTraffic{{
			Service: p.Service, Name: p.Name, Port: p.Port, Protocol: p.Protocol, Endpoints: []pod.EndpointTraffic{change},
		}}})
	})
	return list
}
