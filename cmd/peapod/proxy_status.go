package main

import (
	"io"
	"time"

	"github.com/peapod/peapod/internal/strict"
	"github.com/peapod/peapod/proxy"
)

// proxyStatus is what /status shows, and what /metrics is made of.
type proxyStatus struct {
	Services []serviceStatus `json:"services"`
}

type connectionStatus struct {
	Accepted uint64 `json:"accepted"`
	Active   int64  `json:"active"`
	Failed   uint64 `json:"failed"`
}

// byteStatus is of connections that have ended.
type byteStatus struct {
	In  int64 `json:"in"`  // from clients
	Out int64 `json:"out"` // to clients
}

// udpStatus is of flows, and of all their datagrams.
type udpStatus struct {
	Flows     flowStatus     `json:"flows"`
	Datagrams datagramStatus `json:"datagrams"`
	Bytes     byteStatus     `json:"bytes"`
}

type flowStatus struct {
	Begun   uint64 `json:"begun"`
	Active  int64  `json:"active"`
	Idle    uint64 `json:"idle"`    // ended for being so
	Evicted uint64 `json:"evicted"` // ended for others, where there were too many
	Failed  uint64 `json:"failed"`  // ended because no backend could be reached
}

type datagramStatus struct {
	In      uint64 `json:"in"`
	Out     uint64 `json:"out"`
	Dropped uint64 `json:"dropped"` // of either
}

func newUDPStatus(s proxy.UDPStats) *udpStatus {
	return &udpStatus{
		flowStatus{s.Total, s.Active, s.Expired, s.Evicted, s.Failed},
		datagramStatus{s.DatagramsIn, s.DatagramsOut, s.Dropped},
		byteStatus{s.In, s.Out},
	}
}

type serviceStatus struct {
	Name        string           `json:"name"`
	Listen      []string         `json:"listen"`
	Connections connectionStatus `json:"connections"`
	Bytes       byteStatus       `json:"bytes"`
	UDP         *udpStatus       `json:"udp,omitempty"`
	Waiting     int              `json:"waiting"` // clients, for a backend
	TurnedAway  proxy.TurnedAway `json:"turnedAway"`
	Backends    []backendStatus  `json:"backends"`
}

type backendStatus struct {
	Address string        `json:"address"` // with its network namespace
	State   string        `json:"state"`
	Active  int           `json:"active"`
	Chosen  uint64        `json:"chosen"`
	Failed  uint64        `json:"failed"` // connections that could not be made
	Bytes   byteStatus    `json:"bytes"`
	Connect latencyStatus `json:"connectMicroseconds"`
	Check   *checkStatus  `json:"check,omitempty"`

	latency *proxy.Histogram
}

// checkStatus is of checks that were made.
type checkStatus struct {
	Made   uint64 `json:"made"`
	Failed uint64 `json:"failed"`
	Error  string `json:"error,omitempty"` // of the last one
}

// latencyStatus is how long it took to connect.
type latencyStatus struct {
	Count  uint64 `json:"count"`
	Median int64  `json:"median"`
	P99    int64  `json:"p99"`
	Max    int64  `json:"max"`
}

func (s *proxyServer) status() *proxyStatus {
	status := new(proxyStatus)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.services {
		status.Services = append(status.Services, service.status())
	}
	return status
}

func (r *runningService) status() serviceStatus {
	stats := r.target.proxy.Stats()
	status := serviceStatus{
		Name:        r.name,
		Connections: connectionStatus{stats.Accepted, stats.Active, stats.Failed},
		Bytes:       byteStatus{stats.In, stats.Out},
		Waiting:     r.target.pool.Waiting(),
		TurnedAway:  r.target.pool.TurnedAway(),
	}
	for _, f := range r.fronts {
		status.Listen = append(status.Listen, f.addr())
		if f.udp != nil {
			status.UDP = newUDPStatus(r.target.udpStats())
		}
	}
	for _, e := range r.target.pool.Endpoints() {
		b := backendStatus{Address: e.ID, State: e.State.String(), Active: e.Active, Chosen: e.Total, Failed: e.Failed,
			Bytes: byteStatus{e.In, e.Out}, latency: e.Latency}
		if h := e.Latency; h != nil {
			micro := func(q float64) int64 { return int64(h.Quantile(q) / time.Microsecond) }
			b.Connect = latencyStatus{h.Count(), micro(0.5), micro(0.99), micro(1)}
		}
		if r.target.fixed.check != "" {
			b.Check = &checkStatus{Made: e.Checks, Failed: e.ChecksFailed}
			if e.CheckError != nil {
				b.Check.Error = e.CheckError.Error()
			}
		}
		status.Backends = append(status.Backends, b)
	}
	return status
}

func (s *proxyStatus) json(w io.Writer) {
	b, err := strict.Append(nil, s)
	if err != nil {
		panic(err) // no type of it is unknown there
	}
	w.Write(append(b, '\n'))
}
