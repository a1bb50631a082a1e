package proxy

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

var (
	// ErrClosed is returned by Forward after Shutdown or Close, and is the
	// error of connections that those cut.
	ErrClosed = errors.New("proxy closed")
	// ErrIdle is the error of connections that [Proxy.IdleTimeout] ended.
	ErrIdle = errors.New("connection idle for too long")
	// ErrDrained is the error of connections whose endpoint left the pool and
	// which did not end within [PoolOptions.DrainTimeout].
	ErrDrained = errors.New("endpoint has left the pool")
)

// Where no other is set.
const (
	defaultDialTimeout = 10 * time.Second
	defaultKeepAlive   = 15 * time.Second
)

// Proxy forwards TCP connections. The zero value logs nothing and sets no
// limits. Fields must not change, and the value not be copied, after the first
// call of a method. Methods may be called from several goroutines.
type Proxy struct {
	// Loops is how many event loops of its own the proxy has. One takes the
	// place of a running goroutine (of runtime.GOMAXPROCS) while it is busy.
	// 0: it uses those that all such proxies of the process share, one fewer
	// than there are places, for the rest of the program, but at least one.
	Loops int

	// DialTimeout bounds one attempt to reach an endpoint. 0: 10 s.
	DialTimeout time.Duration
	// DialRetry is for how long after a first failure a client waits while
	// its endpoints, which may be about to start, are tried again: after
	// 5 ms, then at growing distances up to 250 ms. 0: each endpoint is
	// tried once. A pool without any turns clients away at once.
	DialRetry time.Duration
	// IdleTimeout cuts connections on which nothing moved in either
	// direction for that long. 0: never.
	IdleTimeout time.Duration
	// KeepAlive is the idle time before, and the time between, TCP keep-alive
	// probes to both peers. 0: 15 s. Negative: no probes. An endpoint on this
	// host's loopback needs none and gets none.
	KeepAlive time.Duration
	// MaxConns bounds the connections that are open at the same time, over
	// all listeners. More wait in the kernel's queues. 0: no bound.
	MaxConns int

	// ClientHeader says that clients are proxies: each connection begins with
	// a [Header] of the PROXY protocol, in either version, which tells whose
	// it is. It is not passed on (see [Endpoint.Header] for that). Without
	// one, or with half of one after 3 s, a connection is reset. Who can
	// connect can then pretend to be anybody: see that only proxies can.
	ClientHeader bool

	// Log receives failures of accepting and of reaching an endpoint, each
	// sort at most once a second and listener, as warnings; the end of
	// single connections as debug messages. nil: nothing is logged.
	Log *slog.Logger
	// OnOpen is called when a client was accepted, OnClose once for each
	// OnOpen when it is gone. They hold up all connections of one loop, are
	// called by several loops at once, and must not call Shutdown or Close.
	OnOpen, OnClose func(Connection)

	accepted, failed  atomic.Uint64
	open              atomic.Int64 // connections, and one more for each that is being accepted
	active            atomic.Int64
	full              atomic.Int32 // acceptors that wait for room
	bytesIn, bytesOut atomic.Int64

	mu     sync.Mutex
	closed bool
	fronts map[*Front]struct{}
	own    loopSet // with Loops
	set    *loopSet
	loops  []*loop // of set, while there are fronts
}

// Connection describes one forwarded connection.
type Connection struct {
	Listener net.Addr       // where the client was accepted
	Client   netip.AddrPort // who it is; in OnClose, by its header if there was one
	Start    time.Time      // when the client was accepted

	// The following are set in OnClose.

	Endpoint string         // the ID of the last endpoint that was tried; "" without one
	Backend  netip.AddrPort // its address
	In       int64          // bytes from the client to the endpoint
	Out      int64          // bytes from the endpoint to the client
	Err      error          // nil when both directions ended in order
}

// Stats are counters since the proxy was made.
type Stats struct {
	Accepted uint64 // clients accepted
	Active   int64  // of these, not yet gone
	Failed   uint64 // gone with an error: no endpoint, reset, idle, cut
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

// To returns a pool of the given addresses.
func To(addrs ...netip.AddrPort) *Pool {
	p := NewPool(PoolOptions{})
	list := make([]Endpoint, len(addrs))
	for i, a := range addrs {
		list[i] = Endpoint{ID: a.String(), Addr: a}
	}
	p.Set(list)
	return p
}

// Forward listens on the TCP address addr ("127.0.0.1:8080", "[::1]:80",
// ":8080" for all addresses; port 0 takes a free one) and forwards what arrives
// to the pool's endpoints, until the returned Front or the proxy is shut down or
// ctx ends, which cuts open connections like [Front.Close]. The address is
// checked before anything is made; such errors wrap [ErrAddress].
func (p *Proxy) Forward(ctx context.Context, addr string, to *Pool) (*Front, error) {
	if err := validateListen(addr); err != nil {
		return nil, err
	}
	if err := p.validate(to); err != nil {
		return nil, err
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false) // its sockets cannot be spliced
	l, err := c.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return p.Serve(ctx, l, to)
}

// Serve forwards what arrives at a listener that was made elsewhere, for example
// in another network namespace: a *net.TCPListener, or another one with a method
// SyscallConn, such as a [LedListener]. It takes over the listener and closes it,
// also when it fails.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, to *Pool) (*Front, error) {
	defer l.Close()
	if err := p.validate(to); err != nil {
		return nil, err
	}
	fd, err := p.adopt(l)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err = ErrClosed
	if !p.closed {
		err = p.startLoops()
	}
	if err != nil {
		closeFD(fd)
		return nil, err
	}
	debug := p.log().Enabled(context.Background(), slog.LevelDebug)
	f := &Front{proxy: p, debug: debug, pool: to, fd: fd, addr: l.Addr(), paced: paces(int(fd)), gone: make(chan struct{})}
	if led, ok := l.(*LedListener); ok {
		f.led = led.To
	}
	p.fronts[f] = struct{}{}
	f.start(ctx)
	return f, nil
}

// startLoops takes part in the loops unless it does. The lock is held.
func (p *Proxy) startLoops() error {
	if len(p.fronts) > 0 {
		return nil
	}
	set := &common
	if p.Loops > 0 {
		set = &p.own
	}
	loops, err := set.join(p.Loops)
	if err != nil {
		return err
	}
	p.fronts, p.set, p.loops = map[*Front]struct{}{}, set, loops
	return nil
}

// forget leaves the loops when the last front has gone.
func (p *Proxy) forget(f *Front) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fronts, f)
	if len(p.fronts) == 0 {
		p.set.leave()
		p.set, p.loops = nil, nil
	}
}

// loopsOf returns the loops that a front may still have something in.
func (p *Proxy) loopsOf(f *Front) []*loop {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.fronts[f]; !ok {
		return nil
	}
	return p.loops
}

func (p *Proxy) validate(to *Pool) error {
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"DialTimeout", p.DialTimeout}, {"DialRetry", p.DialRetry}, {"IdleTimeout", p.IdleTimeout}} {
		if d.value < 0 {
			return fmt.Errorf("%s: %v is negative", d.field, d.value)
		}
	}
	for _, n := range []struct {
		field string
		value int
	}{{"MaxConns", p.MaxConns}, {"Loops", p.Loops}} {
		if n.value < 0 {
			return fmt.Errorf("%s: %d is negative", n.field, n.value)
		}
	}
	if to == nil {
		return errors.New("no pool of endpoints is given")
	}
	return to.Validate()
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

func (p *Proxy) dialTimeout() time.Duration {
	if p.DialTimeout == 0 {
		return defaultDialTimeout
	}
	return p.DialTimeout
}

func (p *Proxy) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}

// enter counts a connection in advance, unless there are as many as may be.
func (p *Proxy) enter() bool {
	if n := p.open.Add(1); p.MaxConns > 0 && n > int64(p.MaxConns) {
		p.open.Add(-1)
		return false
	}
	return true
}

func (p *Proxy) leave() { p.open.Add(-1) }
