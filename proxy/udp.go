package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UDPOptions configure the forwarding of UDP. The zero value listens here, and
// forgets flows as Linux's connection tracking does.
type UDPOptions struct {
	// Sockets makes the listening socket. nil: here.
	Sockets *Sockets
	// Socket is a bound UDP socket to use in place of a new one. It may be
	// closed afterwards.
	Socket *os.File
	// From is where replies come from, an address at which nobody
	// listens, and Raw the socket (of RawProtocol) that they are sent by:
	// for a Socket that is led to what arrives there. Raw may be closed
	// afterwards. nil: replies come from where the client had sent to.
	Raw  *os.File
	From netip.AddrPort

	// IdleTimeout ends flows on which nothing moved for that long. 0: as
	// connection tracking does, and kube-proxy with it: 30 s, or 120 s for
	// flows with datagrams in both directions for more than 2 s
	// (nf_conntrack_udp_timeout and nf_conntrack_udp_timeout_stream).
	IdleTimeout time.Duration
	// MaxFlows bounds the flows at the same time; each takes a descriptor.
	// For one more the flow that was idle for longest ends: of those that are
	// young or without reply, while there is one, so that strangers' single
	// datagrams do not end conversations. 0: 4096.
	MaxFlows int

	// Log receives what keeps datagrams from being forwarded, each sort at
	// most once a second, as warnings. nil: nothing is logged.
	Log *slog.Logger
}

const (
	newFlowTimeout    = 30 * time.Second
	streamTimeout     = 120 * time.Second
	streamAfter       = 2 * time.Second
	defaultMaxFlows   = 4096
	maxEndpointsTried = 6 // triedSet remembers no more
)

// UDPStats are counters since the forwarding began.
type UDPStats struct {
	Active  int64  // flows now
	Total   uint64 // flows ever
	Expired uint64 // of these, ended for being idle
	Evicted uint64 // ended for another one's sake
	Failed  uint64 // ended because no endpoint could be reached

	DatagramsIn, DatagramsOut uint64 // from clients, and to clients
	In, Out                   int64  // their bytes
	Dropped                   uint64 // datagrams that were received and not sent
}

// UDPFront is one address whose UDP datagrams are forwarded.
type UDPFront struct {
	pool *Pool
	o    UDPOptions
	addr netip.AddrPort

	fd     int // listens
	raw4   int // sends, where that is another one; negative: it is not
	domain int // of fd
	poller int // epoll, of fd and of the flows' sockets
	// wake makes Go's poller wait for ours: an idle front has a goroutine,
	// but no thread, and what shuts it down interrupts it by a deadline.
	wake *os.File
	raw  syscall.RawConn
	look func(fd uintptr) (done bool)

	state atomic.Int32
	gone  chan struct{}

	// The rest is the loop's.

	start  time.Time
	now    time.Duration // since start, when the loop last woke up
	flows  map[flowKey]*flow
	byFD   map[int32]*flow
	young  flowList
	stream flowList
	armed  time.Duration // the deadline; 0: none, negative: one that has passed
	events [64]unix.EpollEvent
	ready  int // of events
	log    [2]throttle

	wakeups atomic.Uint64
	stats   struct {
		active                          atomic.Int64
		total, expired, evicted, failed atomic.Uint64
		datagramsIn, datagramsOut       atomic.Uint64
		in, out                         atomic.Int64
		dropped                         atomic.Uint64
	}
}

// States of a front, in their order.
const (
	udpRunning int32 = iota
	udpDraining
	udpClosing
)

// ForwardUDP listens for UDP datagrams on addr (port 0 takes a free one, an
// unspecified IPv6 address IPv4 too) and forwards them to the pool's endpoints:
// those of one client to one endpoint, through a socket of their own, and the
// replies from there back, from the address that the client had sent to. A flow
// counts as a connection of its endpoint.
//
// A flow whose endpoint refuses datagrams, or has left the pool, goes on with
// another one; the datagrams that were under way are lost. Clients for whom
// there is no endpoint get no answer: nobody waits in a queue.
func ForwardUDP(addr netip.AddrPort, to *Pool, o UDPOptions) (*UDPFront, error) {
	if err := o.validate(addr, to); err != nil {
		return nil, err
	}
	f := &UDPFront{
		pool: to, o: o, fd: -1, raw4: -1, poller: -1, start: time.Now(), gone: make(chan struct{}),
		flows: map[flowKey]*flow{}, byFD: map[int32]*flow{},
	}
	if f.o.MaxFlows == 0 {
		f.o.MaxFlows = defaultMaxFlows
	}
	if err := f.listen(addr); err != nil {
		f.closeAll()
		return nil, fmt.Errorf("listen on udp %s: %w", addr, err)
	}
	go f.loop()
	return f, nil
}

func (o UDPOptions) validate(addr netip.AddrPort, to *Pool) error {
	switch {
	case to == nil:
		return fmt.Errorf("udp: %w: no pool given", ErrAddress)
	case o.IdleTimeout < 0:
		return fmt.Errorf("udp: IdleTimeout: %v is negative", o.IdleTimeout)
	case o.MaxFlows < 0:
		return fmt.Errorf("udp: MaxFlows: %d is negative", o.MaxFlows)
	case o.Raw != nil && (o.Socket == nil || !o.From.IsValid()):
		return fmt.Errorf("udp: %w: replies from %s need a Socket, and an address", ErrAddress, o.From)
	case o.Socket == nil && !addr.IsValid():
		return fmt.Errorf("udp: %w: no address to listen on", ErrAddress)
	}
	return to.Validate()
}

// listen leaves what it has made in f, also when it fails.
func (f *UDPFront) listen(addr netip.AddrPort) (err error) {
	if f.o.Socket != nil {
		if f.fd, err = adoptFD(f.o.Socket); err == nil && f.o.Raw != nil {
			f.raw4, err = adoptFD(f.o.Raw)
		}
	} else {
		err = f.bind(addr)
	}
	if err != nil {
		return err
	}
	if err := f.learnAddr(); err != nil {
		return err
	}
	if f.poller, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := f.watch(f.fd); err != nil {
		return err
	}
	// Only a non-blocking descriptor is one for Go's poller.
	if err := unix.SetNonblock(f.poller, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	f.wake = os.NewFile(uintptr(f.poller), "epoll")
	f.look = f.poll
	f.raw, err = f.wake.SyscallConn()
	return err
}

func (f *UDPFront) bind(addr netip.AddrPort) (err error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	domain := unix.AF_INET6
	if addr.Addr().Is4() {
		domain = unix.AF_INET
	}
	if f.fd, err = f.o.Sockets.one(domain, unix.SOCK_DGRAM); err != nil {
		return fmt.Errorf("make socket: %w", err)
	}
	if domain == unix.AF_INET6 {
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0
		}
		if err := unix.SetsockoptInt(f.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	return os.NewSyscallError("bind", unix.Bind(f.fd, socketAddress(addr)))
}

// adoptFD is a descriptor of its own for a socket.
func adoptFD(socket *os.File) (own int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	own = -1
	var failure error
	err = raw.Control(func(fd uintptr) {
		if own, failure = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); failure == nil {
			failure = unix.SetNonblock(own, true)
		}
	})
	return own, errors.Join(err, failure)
}

// learnAddr asks for the socket's address, and has the kernel tell each
// datagram's where that can be one of several.
func (f *UDPFront) learnAddr() (err error) {
	if typ, err := unix.GetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_DGRAM {
		return fmt.Errorf("%w: not a UDP socket", ErrAddress)
	}
	name, err := unix.Getsockname(f.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		f.domain, f.addr = unix.AF_INET, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		if f.addr.Addr().IsUnspecified() {
			err = unix.SetsockoptInt(f.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	case *unix.SockaddrInet6:
		f.domain, f.addr = unix.AF_INET6, netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		if f.addr.Addr().IsUnspecified() {
			err = unix.SetsockoptInt(f.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	default:
		return fmt.Errorf("%w: not a UDP socket", ErrAddress)
	}
	return os.NewSyscallError("setsockopt PKTINFO", err)
}

// Addr returns the address that is listened on.
func (f *UDPFront) Addr() netip.AddrPort { return f.addr }

// Done returns a channel that is closed when the front has ended.
func (f *UDPFront) Done() <-chan struct{} { return f.gone }

// Stats returns the counters at this moment.
func (f *UDPFront) Stats() UDPStats {
	s := &f.stats
	return UDPStats{
		Active: s.active.Load(), Total: s.total.Load(), Expired: s.expired.Load(),
		Evicted: s.evicted.Load(), Failed: s.failed.Load(),
		DatagramsIn: s.datagramsIn.Load(), DatagramsOut: s.datagramsOut.Load(),
		In: s.in.Load(), Out: s.out.Load(), Dropped: s.dropped.Load(),
	}
}

// Shutdown takes no more clients, lets those that are there go on until they are
// idle for long enough, ends them when ctx ends, and returns when all are gone:
// nil, or ctx's error if some were cut.
func (f *UDPFront) Shutdown(ctx context.Context) error {
	f.enter(udpDraining)
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
	}
	cut := f.stats.active.Load() > 0
	f.Close()
	if cut {
		return context.Cause(ctx)
	}
	return nil
}

// Close ends all flows and returns when they are gone.
func (f *UDPFront) Close() error {
	f.enter(udpClosing)
	<-f.gone
	return nil
}

// enter changes the state, forward only, and wakes the loop up. The loop looks
// at the state after it has set a deadline, so that this one stands or is not
// needed.
func (f *UDPFront) enter(state int32) {
	for {
		old := f.state.Load()
		if old >= state || f.state.CompareAndSwap(old, state) {
			break
		}
	}
	f.wake.SetReadDeadline(time.Unix(1, 0)) // long ago
}
