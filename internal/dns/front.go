package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// front is one pair of sockets that a server serves.
type front struct {
	responder
	s      *Server
	udp    *net.UDPConn
	tcp    net.Listener
	ctx    context.Context // ends what is under way
	cancel context.CancelFunc
	gone   chan struct{} // closed when Serve returns
	places chan struct{} // of TCP connections

	readers  sync.WaitGroup // of the sockets, and of connections
	pending  sync.WaitGroup // queries that other servers were asked
	draining chan struct{}  // closed when that begins
	until    time.Time      // the longest that it may last; set before

	mu    sync.Mutex
	conns map[*conn]struct{}
	asked map[askKey]*asking
}

func newFront(ctx context.Context, s *Server, udp *net.UDPConn, tcp net.Listener) *front {
	f := &front{
		s: s, udp: udp, tcp: tcp,
		gone: make(chan struct{}), draining: make(chan struct{}),
		places: make(chan struct{}, maxConns),
		conns:  make(map[*conn]struct{}), asked: make(map[askKey]*asking),
	}
	f.domain = s.domain
	if udp != nil {
		if a := addrOf(udp.LocalAddr()).Addr(); !a.IsUnspecified() {
			f.self = a
		}
	}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

func addrOf(a net.Addr) netip.AddrPort {
	addr, _ := netip.ParseAddrPort(a.String())
	return unmap(addr)
}

// serve returns when both sockets are done with and all queries are answered.
func (f *front) serve() error {
	defer context.AfterFunc(f.ctx, f.cut)()
	failed := make(chan error, 2)
	run := func(read func() error) {
		f.readers.Go(func() {
			if err := read(); err != nil {
				failed <- err
				f.cut()
			}
		})
	}
	if f.udp != nil {
		run(f.readUDP)
	}
	if f.tcp != nil {
		run(f.accept)
	}
	f.readers.Wait()
	f.pending.Wait()
	select {
	case err := <-failed:
		return fmt.Errorf("serve DNS: %w", err)
	default:
	}
	if !f.isDraining() {
		return fmt.Errorf("serve DNS: %w", context.Cause(f.ctx))
	}
	return nil
}

// drain wakes the readers, which then read what the kernel has and no more.
func (f *front) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDraining() {
		return
	}
	now := time.Now()
	f.until = now.Add(drainTime)
	close(f.draining)
	if f.udp != nil {
		f.udp.SetReadDeadline(now)
	}
	if l, ok := f.tcp.(deadliner); ok {
		l.SetDeadline(now)
	} else if f.tcp != nil {
		f.tcp.Close()
	}
	for c := range f.conns {
		c.SetReadDeadline(now)
	}
}

type deadliner interface{ SetDeadline(time.Time) error }

// more reports whether a socket is to be read: always, and while draining only
// if there is something.
func (f *front) more(socket any) bool {
	if !f.isDraining() {
		return true
	}
	if !readable(socket) || !time.Now().Before(f.until) {
		return false
	}
	switch s := socket.(type) {
	case interface{ SetReadDeadline(time.Time) error }:
		return s.SetReadDeadline(f.until) == nil
	case deadliner:
		return s.SetDeadline(f.until) == nil
	}
	return false
}

// readable reports whether reading from a socket would not wait.
func readable(socket any) bool {
	sc, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err == nil && ready > 0
}

func (f *front) isDraining() bool {
	select {
	case <-f.draining:
		return true
	default:
		return false
	}
}

// cut ends everything at once.
func (f *front) cut() {
	f.cancel()
	if f.udp != nil {
		f.udp.Close()
	}
	if f.tcp != nil {
		f.tcp.Close()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// over reports whether an error of reading means the end that was asked for.
func (f *front) over(err error) bool {
	return f.ctx.Err() != nil || f.isDraining() && errors.Is(err, net.ErrClosed)
}

// woken reports whether an error of reading comes from drain.
func (f *front) woken(err error) bool {
	return f.isDraining() && errors.Is(err, os.ErrDeadlineExceeded)
}

// readUDP answers datagrams: from the zone at once, others on goroutines.
func (f *front) readUDP() error {
	in, out := make([]byte, maxQuery), make([]byte, 0, maxUDP)
	var tries backoff
	for f.more(f.udp) {
		n, from, err := f.udp.ReadFromUDPAddrPort(in)
		switch {
		case err == nil:
			tries = backoff{}
			f.handle(in[:n], datagram{f.udp, from}, out)
		case f.woken(err):
		case f.over(err):
			return nil
		case !tries.wait(f.ctx, err):
			return err
		default:
			f.s.warn("cannot receive DNS queries", "address", f.udp.LocalAddr(), "error", err)
		}
	}
	return nil
}

// backoff is the time between attempts while the kernel has no memory or the
// process no descriptors.
type backoff struct{ delay time.Duration }

// wait returns false for errors that stay.
func (b *backoff) wait(ctx context.Context, err error) bool {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	b.delay = min(max(2*b.delay, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return true
}

// client is who asked.
type client interface {
	tcp() bool
	addr() netip.AddrPort
	send(msg []byte)
	// hold keeps the way back open until the function that it returns is called.
	hold() (release func())
}

// datagram is a client that sent one.
type datagram struct {
	udp  *net.UDPConn
	from netip.AddrPort
}

func (d datagram) tcp() bool            { return false }
func (d datagram) addr() netip.AddrPort { return d.from }
func (d datagram) hold() func()         { return func() {} }

// send may fail as datagrams may be lost: the client asks again.
func (d datagram) send(msg []byte) { d.udp.WriteToUDPAddrPort(msg, d.from) }

// handle answers one message, in buf if that is at once.
func (f *front) handle(msg []byte, c client, buf []byte) {
	q := new(query)
	switch rcode := q.parse(msg, c.tcp()); rcode {
	case drop:
	case dnsmessage.RCodeSuccess:
		f.answer(q, c, buf)
	default:
		c.send(q.failure(buf, rcode))
	}
}

// answer looks who knows the name.
func (f *front) answer(q *query, c client, buf []byte) {
	var z Zone
	if p := f.s.zone.Load(); p != nil {
		z = *p
	}
	rest, own := below(q.name, f.domain)
	addr, reverse := netip.Addr{}, false
	if !own {
		addr, reverse = reversed(q.name)
	}
	switch {
	case z == nil && own:
		c.send(q.failure(buf, dnsmessage.RCodeServerFailure))
	case own:
		n := find(z, rest)
		if n.alias() && q.typ != dnsmessage.TypeCNAME && q.typ != dnsmessage.TypeALL {
			f.later(q, c, func(q *query) ([]byte, error) { return f.follow(z, q, n) })
			return
		}
		f.reply(q, c, buf)(f.node(q, n, buf))
	case reverse && f.ours(z, addr):
		f.reply(q, c, buf)(f.reverse(q, addr, z.Owners(addr), buf))
	case f.echo(q, c.addr()):
		f.s.warn("the server to forward DNS queries to is this one", "address", c.addr())
		c.send(q.failure(buf, dnsmessage.RCodeRefused))
	default:
		f.later(q, c, f.forward)
	}
}

// ours reports whether the name of an address is for us to know. Nobody else
// knows 127/8 and ::1 (RFC 6303).
func (f *front) ours(z Zone, addr netip.Addr) bool {
	return z != nil && (addr.IsLoopback() || len(z.Owners(addr)) > 0)
}

// reply returns a function that sends an answer, or SERVFAIL for an error.
func (f *front) reply(q *query, c client, buf []byte) func([]byte, error) {
	return func(msg []byte, err error) {
		if err != nil {
			f.s.warn("cannot answer a DNS query", "name", q.name, "error", err)
			msg = q.failure(buf, dnsmessage.RCodeServerFailure)
		}
		c.send(msg)
	}
}

// later answers on a goroutine, if there are not too many.
func (f *front) later(q *query, c client, work func(*query) ([]byte, error)) {
	select {
	case f.s.slots <- struct{}{}:
	default:
		f.s.warn("too many DNS queries wait for other servers", "limit", maxForwarding)
		c.send(q.failure(nil, dnsmessage.RCodeServerFailure))
		return
	}
	q = q.clone() // what it was read into is read into again
	release := c.hold()
	f.pending.Go(func() {
		defer func() { <-f.s.slots; release() }()
		f.reply(q, c, nil)(work(q))
	})
}
