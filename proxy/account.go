package proxy

import (
	"sync"
	"time"
)

// begun is called when a session begins.
func (p *Proxy) begun(s *session) {
	p.accepted.Add(1)
	p.active.Add(1)
	if p.OnOpen != nil {
		p.OnOpen(s.describe())
	}
}

// ended is called when a session has ended.
func (p *Proxy) ended(s *session, err error) {
	in, out := s.backend.n, s.client.n
	p.bytesIn.Add(in)
	p.bytesOut.Add(out)
	s.note()
	p.active.Add(-1)
	if err != nil {
		p.failed.Add(1)
	}
	if p.OnClose == nil && (!s.front.debug || err == nil) {
		return
	}
	c := s.describe()
	c.In, c.Out, c.Err = in, out, err
	if err != nil && s.front.debug {
		p.log().Debug("connection failed", "listen", c.Listener.String(), "client", c.Client.String(),
			"endpoint", c.Endpoint, "in", in, "out", out, "error", err)
	}
	if p.OnClose != nil {
		p.OnClose(c)
	}
}

// note adds to the member's counters what they do not have yet.
func (s *session) note() {
	if m := s.member; m != nil {
		m.in.Add(s.backend.n - s.backend.noted)
		m.out.Add(s.client.n - s.client.noted)
		s.backend.noted, s.client.noted = s.backend.n, s.client.n
	}
}

// Settle brings EndpointStats.In and Out up to date with the connections that
// are open; otherwise they have those that are gone. The loops do it between two
// rounds of forwarding: nothing is counted more often on the way of a byte.
func (p *Proxy) Settle() {
	p.mu.Lock()
	loops := p.loops
	p.mu.Unlock()
	var done sync.WaitGroup
	for _, l := range loops {
		done.Add(1)
		note := func(l *loop) {
			defer done.Done()
			l.sessions.all(func(s *session) {
				if s.front.proxy == p {
					s.note()
				}
			})
		}
		if !l.call(note) {
			done.Done()
		}
	}
	done.Wait()
}

func (s *session) describe() Connection {
	c := Connection{
		Listener: s.front.Addr(),
		Client:   s.peer,
		Start:    epoch.Add(time.Duration(s.began)),
	}
	if m := s.last; m != nil {
		c.Endpoint, c.Backend = m.key.id, m.key.addr
	}
	return c
}
