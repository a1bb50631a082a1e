package proxy

import (
	"errors"
	"net/netip"
)

// EndpointState says whether an endpoint gets connections.
type EndpointState uint8

const (
	// EndpointReady gets connections.
	EndpointReady EndpointState = iota
	// EndpointAside gets none for a while, because it could not be reached.
	EndpointAside
	// EndpointDraining has left the pool and still has connections.
	EndpointDraining
	// EndpointDown gets none: checks find that it takes none.
	EndpointDown
)

func (s EndpointState) String() string {
	return [...]string{"ready", "set aside", "draining", "down"}[s]
}

// EndpointStats are an endpoint's counters since it entered the pool.
type EndpointStats struct {
	ID     string
	Addr   netip.AddrPort
	State  EndpointState
	Active int    // connections, those that are being made included
	Total  uint64 // times that it was chosen
	Failed uint64 // of these, connections that could not be made
	// Checks are those that were made, ChecksFailed the ones of these that
	// failed, and CheckError says why the last one did; nil: it did not.
	Checks, ChecksFailed uint64
	CheckError           error
	// In and Out are bytes to and from the endpoint: of UDP at once, of TCP
	// when a connection ends, or at Proxy.Settle.
	In, Out int64
	// Latency is how long it took to connect. It goes on counting; nil
	// before the first connection.
	Latency *Histogram
}

// Endpoints returns the counters of the endpoints of the last Set, ordered by ID
// and address, and of those that left before and still have connections.
func (p *Pool) Endpoints() []EndpointStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.view.Load().members
	all := make([]EndpointStats, 0, len(list)+len(p.leaving))
	for _, m := range list {
		all = append(all, m.stats())
	}
	for _, m := range p.leaving {
		if s := m.stats(); s.Active > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Waiting returns how many clients wait for an endpoint.
func (p *Pool) Waiting() int { return int(p.waiting.Load()) }

// TurnedAway counts clients that got no endpoint since the pool was made, by why:
// TCP connections that were reset for it, and times that datagrams were dropped.
type TurnedAway struct {
	NoEndpoint  uint64 `json:"noEndpoint,omitempty"`  // the pool had none that was not down
	Full        uint64 `json:"full,omitempty"`        // all had as many connections as they may have, and the queue
	Queued      uint64 `json:"queued,omitempty"`      // none became free in time
	Unreachable uint64 `json:"unreachable,omitempty"` // no connection could be made to any
}

// Sum is all of them.
func (t TurnedAway) Sum() uint64 { return t.NoEndpoint + t.Full + t.Queued + t.Unreachable }

// Plus adds up those of two pools.
func (t TurnedAway) Plus(u TurnedAway) TurnedAway {
	return TurnedAway{t.NoEndpoint + u.NoEndpoint, t.Full + u.Full, t.Queued + u.Queued, t.Unreachable + u.Unreachable}
}

// TurnedAway returns the counters at this moment.
func (p *Pool) TurnedAway() TurnedAway {
	return TurnedAway{p.turned[0].Load(), p.turned[1].Load(), p.turned[2].Load(), p.turned[3].Load()}
}

// turnAway counts a client for whom err is why it got no endpoint.
func (p *Pool) turnAway(err error) {
	why := 3
	switch {
	case errors.Is(err, errNoEndpoint):
		why = 0
	case errors.Is(err, errFull), errors.Is(err, errQueueFull):
		why = 1
	case errors.Is(err, errQueued):
		why = 2
	}
	p.turned[why].Add(1)
}

func (m *member) stats() EndpointStats {
	s := EndpointStats{
		ID:      m.key.id,
		Addr:    m.key.addr,
		Active:  int(m.active.Load()),
		Total:   m.total.Load(),
		Failed:  m.failures.Load(),
		In:      m.in.Load(),
		Out:     m.out.Load(),
		Latency: m.latency.Load(),

		Checks:       m.checks.Load(),
		ChecksFailed: m.checksFailed.Load(),
	}
	m.mu.Lock()
	s.CheckError = m.checkError
	m.mu.Unlock()
	switch {
	case m.draining.Load():
		s.State = EndpointDraining
	case m.down.Load():
		s.State = EndpointDown
	case m.aside.Load() != 0:
		s.State = EndpointAside
	}
	return s
}
