package proxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Distances between attempts to reach a backend.
const (
	minDialPause = 5 * time.Millisecond
	maxDialPause = 250 * time.Millisecond
)

// session is one client and the backend that it is connected to.
type session struct {
	front  *Front
	client net.Conn
	info   Connection // of the session's goroutine

	mu      sync.Mutex
	backend net.Conn // nil until connected
	ended   bool
	err     error // why it was aborted
}

func (s *session) run() {
	p := s.front.proxy
	p.accepted.Add(1)
	p.active.Add(1)
	if p.OnOpen != nil {
		p.OnOpen(s.info)
	}
	p.keepAlive(s.client)
	if backend, err := s.connect(); err != nil {
		s.abort(err)
	} else if s.attach(backend) {
		p.keepAlive(backend)
		s.forward(backend)
	}
	s.info.Err = s.end()
	s.account()
	s.front.remove(s)
}

// forward returns when both connections are done with, and leaves them open
// unless they were aborted.
func (s *session) forward(backend net.Conn) {
	var busy *activity
	if d := s.front.proxy.IdleTimeout; d > 0 {
		busy = newActivity()
		stop := watchIdle(d, s.client, backend, busy, func() { s.abort(ErrIdle) })
		defer stop()
	}
	s.info.In, s.info.Out = relay(s.client, backend, busy, s.abort)
}

// attach fails if the session was aborted while the backend was being dialled.
func (s *session) attach(backend net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		reset(backend)
		return false
	}
	s.backend = backend
	return true
}

// abort resets both connections. The first error is kept: later ones are its
// consequences.
func (s *session) abort(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.err = true, err
	reset(s.client)
	if s.backend != nil {
		reset(s.backend)
	}
}

// end closes the connections in order if they were not aborted.
func (s *session) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.client.Close()
		s.backend.Close()
	}
	return s.err
}

func (s *session) account() {
	p, c := s.front.proxy, s.info
	p.bytesIn.Add(c.In)
	p.bytesOut.Add(c.Out)
	if c.Err != nil {
		p.failed.Add(1)
		p.log().Debug("connection failed", "listen", c.Listener.String(), "client", c.Client.String(),
			"backend", c.Backend, "in", c.In, "out", c.Out, "error", c.Err)
	}
	p.active.Add(-1)
	if p.OnClose != nil {
		p.OnClose(c)
	}
}

// connect reaches a backend, trying again for as long as Proxy.DialRetry says,
// the client has not gone and the front has not been cut.
func (s *session) connect() (net.Conn, error) {
	conn, err := s.attempt(s.front.ctx)
	if err == nil || s.front.proxy.DialRetry == 0 {
		return conn, s.complain(err)
	}
	ctx, cancel := context.WithTimeout(s.front.ctx, s.front.proxy.DialRetry)
	defer cancel()
	stop := watchReset(s.client, func(err error) {
		s.abort(fmt.Errorf("client gone while waiting for backend %s: %w", s.info.Backend, err))
		cancel()
	})
	defer stop()
	for pause := minDialPause; ; pause = min(2*pause, maxDialPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, s.complain(err)
		}
		conn, again := s.attempt(ctx)
		if again == nil {
			return conn, nil
		}
		if ctx.Err() == nil { // else the attempt before this one says more
			err = again
		}
	}
}

func (s *session) attempt(ctx context.Context) (net.Conn, error) {
	addr, err := s.front.to.Pick(ctx, s.info.Client)
	if err != nil {
		return nil, fmt.Errorf("pick a backend: %w", err)
	}
	s.info.Backend = addr
	conn, err := s.front.proxy.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial backend %s: %w", addr, err)
	}
	return conn, nil
}

// complain logs a final failure to reach a backend and returns it.
func (s *session) complain(err error) error {
	if err == nil || s.front.ctx.Err() != nil {
		return err
	}
	if n, ok := s.front.dialLog.allow(); ok {
		s.front.proxy.log().Warn("backend cannot be reached", "listen", s.info.Listener.String(),
			"client", s.info.Client.String(), "backend", s.info.Backend, "error", err, "suppressed", n)
	}
	return err
}
