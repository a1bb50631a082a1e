package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// state is what a session waits for.
type state uint8

const (
	gone      state = iota
	arriving        // what comes at once
	heading         // the PROXY protocol's header
	queueing        // an endpoint
	stocking        // a socket
	dialling        // the connection to the endpoint
	pausing         // the next attempt
	streaming       // bytes
)

// session is one client and the endpoint that it is connected to. It belongs to
// one loop.
type session struct {
	slot    int32
	state   state
	front   *Front
	client  end
	backend end
	timer   timer
	began   int64 // when the client was accepted
	peer    netip.AddrPort
	dial    attempt
	member  *member // nil without one
	last    *member // that was tried
	breakage
}

// end is one of a session's two sockets.
type end struct {
	s          *session
	other      *end
	fd         int32 // -1: none
	generation uint32
	readable   bool // there may be something to read
	closing    bool // there is an end to what can be read
	fin        bool // its peer's last byte is here
	urgent     bool // a read may end before what there is does
	eof        bool // all was read
	shut       bool // nothing more is written
	queued     bool // in loop.again
	dressed    bool // has the options for more than one write
	fresh      bool // nothing was written yet
	paced      bool // and should not be, see paces
	splicing   bool // what is read here is spliced
	bounded    bool // see bound
	bulk       int8 // how often in a row a read took all that it could
	sent       int32
	held       []byte // read from the other end; this one has taken held[:sent]
	pipe       *pipe  // the same, of splicing
	n          int64  // bytes written
	noted      int64  // of n, those that the member has counted
}

// both is what a session's sockets are watched for.
const both = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | edge

// over are the events of a socket from which nothing more will come.
const over = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

func (e *end) open(s *session, other *end, fd int32) {
	generation := e.generation + 1
	*e = end{s: s, other: other, fd: fd, generation: generation, fresh: true}
}

// open begins a session with a client that was accepted.
func (l *loop) open(f *Front, fd int32, from *sockaddr) {
	s := l.sessions.get()
	s.front, s.state = f, arriving
	s.began = l.clock()
	s.timer.s = s
	s.peer = from.get()
	s.client.open(s, &s.backend, fd)
	s.backend.open(s, &s.client, -1)
	// TCP_NODELAY is inherited from the listener. One for all addresses could
	// not end the pacing for those of its clients that are on this host.
	s.client.paced = f.paced && s.peer.Addr().IsLoopback()
	s.client.dressed = !s.client.paced
	s.dial = attempt{}
	f.proxy.begun(s)
	if f.isCut.Load() {
		l.end(s, ErrClosed)
		return
	}
	if errno := l.watch(fd, s.slot<<1, s.client.generation, both); errno != 0 {
		l.end(s, fmt.Errorf("watch the client: %w", errno))
		return
	}
	l.arrived = append(l.arrived, s)
}

// happened is called for an event of one of a session's sockets.
func (l *loop) happened(e *end, what uint32) {
	s := e.s
	if what&(unix.EPOLLIN|unix.EPOLLPRI|over) != 0 {
		e.told(what)
	}
	if s.state != streaming {
		l.happenedEarly(e, what)
		return
	}
	if what&unix.EPOLLOUT != 0 && e.pending() {
		l.pump(e.other)
	}
	// If that is blocked, there will be an event when it is no more.
	if s.state == streaming && e.readable && !e.other.pending() {
		l.pump(e)
	}
	if s.state == streaming && what&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		l.ailing(e, what)
	}
}

// told notes that there is something to read. The kernel puts a FIN behind the
// bytes before it, so that who has read less than there was room for has read
// all. Two things break that: a reset, which leaves room for doubt, and urgent
// data, at which recv(2) stops, tcp(7).
func (e *end) told(what uint32) {
	e.readable = true
	e.closing = e.closing || what&over != 0
	if what&unix.EPOLLPRI != 0 {
		e.urgent, e.splicing = true, false // splice(2) does not get past it
	}
	e.fin = what&(unix.EPOLLRDHUP|unix.EPOLLERR) == unix.EPOLLRDHUP && !e.urgent
}

// happenedEarly is called for an event before bytes are forwarded.
func (l *loop) happenedEarly(e *end, what uint32) {
	s := e.s
	switch {
	case s.state == gone:
	case e == &s.backend:
		if s.state == dialling {
			l.dialled(s, what)
		}
	case what&(unix.EPOLLERR|unix.EPOLLHUP) != 0 && s.failed == nil && !l.leavesRequest(e):
		l.end(s, s.failed)
	case s.state == heading:
		l.readHeader(s)
	}
}

// leavesRequest tells whether a client that has gone before there was an endpoint
// for it had ended in order, and what it said is still to go there.
func (l *loop) leavesRequest(e *end) bool {
	err := socketError(e.fd)
	e.s.failed = fmt.Errorf("client gone while waiting for an endpoint: %w", err)
	e.s.broken = e
	n, _ := unix.IoctlGetInt(int(e.fd), unix.SIOCINQ)
	return errorAfterEnd(err) && n > 0
}

// socketError returns the error of a socket that epoll says has one.
func socketError(fd int32) error {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case code == 0:
		return unix.ECONNRESET
	}
	return unix.Errno(code)
}

// trouble is the error of one of the two sockets.
func (e *end) trouble(op string, err error) error {
	if e == &e.s.client {
		return fmt.Errorf("%s client: %w", op, err)
	}
	return fmt.Errorf("%s endpoint %s: %w", op, e.s.member.addr(), err)
}

// timeout is called when a session's timer rings.
func (l *loop) timeout(s *session) {
	switch s.state {
	case gone:
	case streaming:
		if s.failed != nil {
			l.lookAfter(s)
			return
		}
		l.checkIdle(s)
	default:
		l.dialTimeout(s)
	}
}

// checkIdle asks the kernel when something last moved: forwarding pays nothing
// for Proxy.IdleTimeout, and what is spliced passes nobody who could note it.
func (l *loop) checkIdle(s *session) {
	limit := s.front.proxy.IdleTimeout
	quiet := min(quietFor(s.client.fd), quietFor(s.backend.fd))
	if quiet >= limit {
		l.end(s, ErrIdle)
		return
	}
	// The kernel counts milliseconds (or its ticks): one more, not to come
	// back a moment too early.
	l.timers.set(&s.timer, l.clock()+int64(limit-quiet+time.Millisecond))
}

// quietFor returns for how long no data has come from the peer or been sent to
// it, tcp(7).
func quietFor(fd int32) time.Duration {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return time.Duration(min(info.Last_data_recv, info.Last_data_sent)) * time.Millisecond
}

// end ends a session: in order without an error, otherwise by resetting both
// connections, so that what is truncated never looks complete.
func (l *loop) end(s *session, err error) {
	l.timers.cancel(&s.timer)
	if s.state == queueing {
		l.leaveQueue(s)
	}
	l.close(&s.client, err)
	l.close(&s.backend, err)
	s.state = gone
	f := s.front
	f.proxy.ended(s, err)
	if s.member != nil {
		s.member.release()
	}
	s.dial = attempt{}
	s.front, s.member, s.last, s.breakage = nil, nil, nil, breakage{}
	l.sessions.put(s)
	f.running.Done()
	l.freed(f.proxy)
}

func (l *loop) close(e *end, err error) {
	l.drop(e)
	if e.fd < 0 {
		return
	}
	if err != nil {
		resetFD(e.fd)
	} else {
		closeFD(e.fd)
	}
	e.fd = -1
	e.generation++
}

// drop forgets what an end has not taken.
func (l *loop) drop(e *end) {
	if e.held != nil {
		l.buffers.drop(e.held)
		e.held = nil
	}
	if e.pipe != nil {
		l.pipes.put(e.pipe)
		e.pipe = nil
	}
}

// cut ends a front's sessions.
func (l *loop) cut(f *Front) {
	l.sessions.all(func(s *session) {
		if s.front == f {
			f.anyCut.Store(true)
			l.end(s, ErrClosed)
		}
	})
}

// cutLeft ends a front's sessions with endpoints that left the pool and did not
// come back.
func (l *loop) cutLeft(f *Front, left []*member) {
	l.sessions.all(func(s *session) {
		if s.front == f && s.member != nil && s.member.draining.Load() && slices.Contains(left, s.member) {
			l.end(s, ErrDrained)
		}
	})
}
