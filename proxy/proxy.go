package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is returned by Forward after Shutdown or Close, and is the
	// error of connections that those cut.
	ErrClosed = errors.New("proxy closed")
	// ErrIdle is the error of connections that [Proxy.IdleTimeout] ended.
	ErrIdle = errors.New("connection idle for too long")
)

// defaultDialTimeout is the bound of one attempt where none is set.
const defaultDialTimeout = 10 * time.Second

// Proxy forwards TCP connections. The zero value listens and dials with package
// net, logs nothing and sets no limits. Fields must not change, and the value
// not be copied, after the first call of a method. Methods may be called from
// several goroutines.
type Proxy struct {
	// Listen makes a listener; network is "tcp". nil: package net.
	Listen func(ctx context.Context, network, addr string) (net.Listener, error)
	// Dial connects to a backend, an address that [Backends.Pick] returned.
	// It has to return when ctx ends. nil: package net, over TCP.
	// Connections that are no [*net.TCPConn] are copied through memory; where
	// they have no CloseWrite method, one that ends in one direction is
	// closed in both.
	Dial func(ctx context.Context, backend string) (net.Conn, error)

	// DialTimeout bounds one attempt to reach a backend. 0: 10 s.
	DialTimeout time.Duration
	// DialRetry is for how long after a first failure a backend is tried
	// again (after 5 ms, then at growing distances up to 250 ms) while its
	// client waits: it may be about to start. 0: one attempt.
	DialRetry time.Duration
	// IdleTimeout cuts connections on which nothing moved in either
	// direction for that long. 0: never.
	IdleTimeout time.Duration
	// KeepAlive is the idle time before, and the time between, TCP keep-alive
	// probes to both peers. 0: as Listen and Dial set it (package net: 15 s).
	// Negative: no probes.
	KeepAlive time.Duration
	// MaxConns bounds the connections that are open at the same time, over
	// all listeners. More wait: one per listener accepted, the others in the
	// kernel's queue. 0: no bound.
	MaxConns int

	// Log receives failures of accepting and of reaching a backend, each
	// sort at most once a second and listener, as warnings; the end of
	// single connections as debug messages. nil: nothing is logged.
	Log *slog.Logger
	// OnOpen is called when a client was accepted, OnClose once for each
	// OnOpen when it is gone. They are called from many goroutines at once,
	// hold up their connection only, and must not call Shutdown or Close.
	OnOpen, OnClose func(Connection)

	accepted, failed  atomic.Uint64
	active            atomic.Int64
	bytesIn, bytesOut atomic.Int64
	once              sync.Once
	slots             chan struct{} // nil without MaxConns

	mu     sync.Mutex
	closed bool
	fronts map[*Front]struct{}
}

// Connection describes one forwarded connection.
type Connection struct {
	Listener net.Addr  // where the client was accepted
	Client   net.Addr  // who it is
	Backend  string    // what Backends.Pick returned last; "" in OnOpen
	Start    time.Time // when the client was accepted

	// The following are set in OnClose.

	In  int64 // bytes from the client to the backend
	Out int64 // bytes from the backend to the client
	Err error // nil when both directions ended in order
}

// Stats are counters since the proxy was made.
type Stats struct {
	Accepted uint64 // clients accepted
	Active   int64  // of these, not yet gone
	Failed   uint64 // gone with an error: no backend, reset, idle, cut
	In, Out  int64  // bytes of connections that are gone, as in Connection
}

// Stats returns the counters at this moment.
func (p *Proxy) Stats() Stats {
	return Stats{
		Accepted: p.accepted.Load(),
		Active:   p.active.Load(),
		Failed:   p.failed.Load(),
		In:       p.bytesIn.Load(),
		Out:      p.bytesOut.Load(),
	}
}

// Forward listens on the TCP address addr ("127.0.0.1:8080", "[::1]:80",
// ":8080" for all addresses; port 0 takes a free one) and forwards what arrives
// to the backends, until the returned Front or the proxy is shut down or ctx
// ends, which cuts open connections like [Front.Close]. Addresses are checked
// before anything is made; such errors wrap [ErrAddress].
func (p *Proxy) Forward(ctx context.Context, addr string, to Backends) (*Front, error) {
	if err := p.validate(addr, to); err != nil {
		return nil, err
	}
	p.once.Do(p.init)
	l, err := p.listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.Close()
		return nil, ErrClosed
	}
	f := newFront(ctx, p, l, to)
	p.fronts[f] = struct{}{}
	f.start(ctx)
	return f, nil
}

func (p *Proxy) init() {
	p.fronts = map[*Front]struct{}{}
	if p.MaxConns > 0 {
		p.slots = make(chan struct{}, p.MaxConns)
	}
}

func (p *Proxy) validate(addr string, to Backends) error {
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"DialTimeout", p.DialTimeout}, {"DialRetry", p.DialRetry}, {"IdleTimeout", p.IdleTimeout}} {
		if d.value < 0 {
			return fmt.Errorf("%s: %v is negative", d.field, d.value)
		}
	}
	if p.MaxConns < 0 {
		return fmt.Errorf("MaxConns: %d is negative", p.MaxConns)
	}
	if to == nil {
		return fmt.Errorf("backend: %w: none given", ErrAddress)
	}
	if err := validateListen(addr); err != nil {
		return err
	}
	if v, ok := to.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Shutdown stops listening at once, lets open connections finish, cuts those
// that are still open when ctx ends, and returns when all are gone: nil, or
// ctx's error if some were cut. The proxy cannot be used again.
func (p *Proxy) Shutdown(ctx context.Context) error {
	fronts := p.close()
	for _, f := range fronts {
		f.stop()
	}
	var cut error
	for _, f := range fronts {
		if err := f.Shutdown(ctx); err != nil {
			cut = err
		}
	}
	return cut
}

// Close stops listening, cuts all connections (both peers see a reset), and
// returns when they are gone. The proxy cannot be used again.
func (p *Proxy) Close() error {
	fronts := p.close()
	for _, f := range fronts {
		f.stop()
		f.cut()
	}
	for _, f := range fronts {
		f.Close()
	}
	return nil
}

func (p *Proxy) close() []*Front {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	fronts := make([]*Front, 0, len(p.fronts))
	for f := range p.fronts {
		fronts = append(fronts, f)
	}
	return fronts
}

func (p *Proxy) forget(f *Front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fronts, f)
}

func (p *Proxy) listen(ctx context.Context, addr string) (net.Listener, error) {
	if p.Listen != nil {
		return p.Listen(ctx, "tcp", addr)
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false) // its sockets cannot be spliced
	return c.Listen(ctx, "tcp", addr)
}

func (p *Proxy) dial(ctx context.Context, addr string) (net.Conn, error) {
	timeout := p.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if p.Dial != nil {
		return p.Dial(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func (p *Proxy) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}
