package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxForwarding bounds the queries that wait for other servers, and with
	// them goroutines and sockets.
	maxForwarding = 1000
	// maxConns bounds the TCP connections of one listener; more wait in the
	// kernel.
	maxConns = 100
	// idleTimeout is for how long a TCP connection may be silent before, or
	// within, a query (RFC 7766: some seconds).
	idleTimeout = 10 * time.Second
	// writeTimeout is for how long one may not take an answer.
	writeTimeout = 2 * time.Second
	// drainTime is how long Shutdown reads what the kernel has queued if that
	// does not end.
	drainTime = time.Second
	// warnEvery is how often a warning is logged.
	warnEvery = time.Second
	// avoidFor is how long a server that gave no answer is asked last.
	avoidFor = 10 * time.Second
)

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("DNS server closed")

// Server answers queries. Fields must not change after the first call of Serve;
// methods may be called from several goroutines.
type Server struct {
	// Domain is the cluster's domain. "": cluster.local.
	Domain string
	// Upstream returns the servers that all other names are asked of, best
	// first; three at most are used. It is called for each such query. nil:
	// those of the host's /etc/resolv.conf.
	Upstream func() []netip.AddrPort
	// Dial makes the sockets to them; network is "udp" or "tcp". nil: package
	// net, in the namespace of the process.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log receives failures, as warnings, each sort once a second at most.
	// nil: nothing is logged.
	Log *slog.Logger

	zone     atomic.Pointer[Zone]
	once     sync.Once
	domain   string
	upstream func() []netip.AddrPort
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	slots    chan struct{} // of queries that are forwarded

	mu     sync.Mutex
	closed bool
	fronts map[*front]struct{}
	warned map[string]time.Time         // by message
	silent map[netip.AddrPort]time.Time // servers that gave no answer, and when
}

// SetZone replaces all names at once: a query is answered from the zone before
// or from this one. Before the first call, names in the domain get SERVFAIL.
func (s *Server) SetZone(z Zone) { s.zone.Store(&z) }

// Serve answers what comes in on udp and tcp, either of which may be nil, until
// Shutdown is called, which it returns nil for, or ctx ends, or a socket fails.
// It closes both. A UDP socket that is bound to no address in particular answers
// from the one that the kernel chooses, which clients of other ones refuse: bind
// it to one. Serve may be called for several pairs of sockets.
func (s *Server) Serve(ctx context.Context, udp *net.UDPConn, tcp net.Listener) error {
	s.once.Do(s.init)
	f := newFront(ctx, s, udp, tcp)
	defer f.cut()
	if _, ok := appendName(nil, s.domain); !ok {
		return fmt.Errorf("serve DNS: domain %q: not a domain name", s.Domain)
	}
	if udp == nil && tcp == nil {
		return errors.New("serve DNS: no socket to serve on")
	}
	if !s.add(f) {
		return fmt.Errorf("serve DNS: %w", ErrClosed)
	}
	defer s.remove(f)
	return f.serve()
}

func (s *Server) init() {
	s.domain = "cluster.local"
	if s.Domain != "" {
		s.domain = canonical(s.Domain)
	}
	s.upstream, s.dial = s.Upstream, s.Dial
	if s.upstream == nil {
		s.upstream = new(HostServers).Servers
	}
	if s.dial == nil {
		s.dial = new(net.Dialer).DialContext
	}
	s.slots = make(chan struct{}, maxForwarding)
	s.fronts = make(map[*front]struct{})
	s.warned = make(map[string]time.Time)
	s.silent = make(map[netip.AddrPort]time.Time)
}

func (s *Server) add(f *front) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.fronts[f] = struct{}{}
	return true
}

func (s *Server) remove(f *front) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fronts, f)
	close(f.gone)
}

// Shutdown stops reading, answers what has come, and makes every Serve return.
// When ctx ends before that, the rest is dropped and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var fronts []*front
	for f := range s.fronts {
		fronts = append(fronts, f)
	}
	s.mu.Unlock()
	for _, f := range fronts {
		f.drain()
	}
	var err error
	for _, f := range fronts {
		select {
		case <-f.gone:
		case <-ctx.Done():
			err = ctx.Err()
			f.cut()
			<-f.gone
		}
	}
	return err
}

// warn logs, each message once per warnEvery at most.
func (s *Server) warn(message string, args ...any) {
	if s.Log == nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	recent := now.Sub(s.warned[message]) < warnEvery
	if !recent {
		s.warned[message] = now
	}
	s.mu.Unlock()
	if !recent {
		s.Log.Warn(message, args...)
	}
}

// servers returns whom to ask in which order: those that lately gave no answer
// come last, so that a dead one does not hold up each query.
func (s *Server) servers() []netip.AddrPort {
	list := s.upstream()
	list = list[:min(len(list), maxUpstreams)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.silent) == 0 {
		return list
	}
	var first, last []netip.AddrPort
	for _, server := range list {
		if when, ok := s.silent[server]; ok && time.Since(when) < avoidFor {
			last = append(last, server)
		} else {
			first = append(first, server)
		}
	}
	return append(first, last...)
}

// note keeps whether a server gave an answer.
func (s *Server) note(server netip.AddrPort, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.silent, server)
		return
	}
	for old, when := range s.silent {
		if time.Since(when) >= avoidFor {
			delete(s.silent, old)
		}
	}
	s.silent[server] = time.Now()
}
