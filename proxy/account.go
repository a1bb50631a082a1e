package proxy

import "time"

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
	if m := s.member; m != nil {
		m.in.Add(in)
		m.out.Add(out)
	}
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
