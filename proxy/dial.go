package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Distances between rounds of attempts to reach an endpoint.
const (
	minDialPause = 5 * time.Millisecond
	maxDialPause = 250 * time.Millisecond
)

// portPause is for how long nobody tries to reach an endpoint for which no local
// port was free: connect(2) looks at all there are each time, which takes
// milliseconds.
const portPause = 50 * time.Millisecond

// attempt is what is known of a session's tries to reach an endpoint.
type attempt struct {
	tried  triedSet
	waiter *waiter       // while queueing
	err    error         // of the last one that failed
	since  int64         // when the first one had failed; 0: none has
	pause  time.Duration // before the next round
	begun  int64         // when connecting began
}

// dialAll begins with those who had time to send something.
func (l *loop) dialAll(list []*session) {
	for _, s := range list {
		switch {
		case s.state != arriving:
		case s.front.proxy.ClientHeader:
			l.awaitHeader(s)
		default:
			l.pick(s)
		}
	}
	if l.arrived == nil {
		l.arrived = list[:0]
	}
}

// pick connects to the endpoint that the pool chooses, or else to the next one.
func (l *loop) pick(s *session) {
	for {
		m, err := s.front.pool.pick(s.peer.Addr(), &s.dial.tried)
		if err != nil {
			m = l.noEndpoint(s, err)
		}
		if m == nil || l.use(s, m) {
			return
		}
	}
}

// use connects to an endpoint. It returns false if that failed at once.
func (l *loop) use(s *session, m *member) bool {
	s.member, s.last = m, m
	s.dial.tried.add(m)
	if m.noPort.Load() > l.clock() {
		l.attemptFailed(s, unix.EADDRNOTAVAIL)
		return false
	}
	domain := domainOf(m.addr().Addr())
	src := m.sockets()
	if src == nil {
		fd, errno := l.socket(domain)
		if errno != 0 {
			l.attemptFailed(s, errno)
			return false
		}
		return l.connect(s, fd)
	}
	if fd, ok := src.take(domain, unix.SOCK_STREAM); ok {
		return l.connect(s, int32(fd))
	}
	s.state = stocking
	s.backend.generation++
	l.timers.set(&s.timer, l.clock()+int64(s.front.proxy.dialTimeout()))
	slot, generation := s.slot, s.backend.generation
	src.await(domain, unix.SOCK_STREAM, func(fd int, err error) {
		if !l.call(func(l *loop) { l.stocked(slot, generation, src, domain, fd, err) }) && err == nil {
			src.giveBack(domain, unix.SOCK_STREAM, fd)
		}
	})
	return true
}

func domainOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// stocked is called with the socket that a session waited for, which may have
// changed its mind.
func (l *loop) stocked(slot int32, generation uint32, src *Sockets, domain, fd int, err error) {
	s := l.sessions.at(slot)
	switch {
	case s.state != stocking || s.backend.generation != generation:
		if err == nil {
			src.giveBack(domain, unix.SOCK_STREAM, fd)
		}
	case err != nil:
		l.attemptFailed(s, err)
		l.pick(s)
	case !l.connect(s, int32(fd)):
		l.pick(s)
	}
}

// socket makes one here. The spare one is there for when no descriptor is left.
func (l *loop) socket(domain int) (int32, unix.Errno) {
	if domain == unix.AF_INET && l.spare >= 0 {
		fd := l.spare
		l.spare = -1
		return fd, 0
	}
	fd, errno := sysSocket(domain)
	if errno != 0 && l.spare >= 0 {
		closeFD(l.spare)
		l.spare = -1
		fd, errno = sysSocket(domain)
	}
	return fd, errno
}

// connect begins to connect the session's member. It returns false if that
// failed at once.
func (l *loop) connect(s *session, fd int32) bool {
	s.state = dialling
	s.backend.open(s, &s.client, fd)
	addr := s.member.addr()
	l.address.set(addr, scopeOf(addr.Addr()))
	s.backend.paced = addr.Addr().IsLoopback() && l.paces(s.member)
	s.front.proxy.dressBackend(fd, addr.Addr())
	config := s.member.config.Load()
	if config.transparent {
		if err := bindClient(int(fd), netip.AddrPortFrom(s.peer.Addr(), 0), addr.Addr()); err != nil {
			l.attemptFailed(s, err)
			return false
		}
	}
	if s.client.readable || config.header != 0 {
		setPatientAck(fd)
	}
	s.dial.begun = l.clock()
	errno := sysConnect(fd, &l.address)
	if errno == unix.EINPROGRESS && addr.Addr().IsLoopback() {
		// On this host the answer is there when the call returns, which has
		// not seen it yet: ask again, rather than wait for the event.
		if errno = sysConnect(fd, &l.address); errno == unix.EALREADY {
			errno = unix.EINPROGRESS
		}
	}
	switch errno {
	case 0:
		l.now = 0 // it took some time
		return l.connected(s)
	case unix.EINPROGRESS:
		errno = l.watchBackend(s)
	}
	if errno != 0 {
		if errno == unix.EADDRNOTAVAIL {
			s.member.noPort.Store(l.clock() + int64(portPause))
		}
		l.attemptFailed(s, errno)
		return false
	}
	l.timers.set(&s.timer, l.clock()+int64(s.front.proxy.dialTimeout()))
	return true
}

func (l *loop) watchBackend(s *session) unix.Errno {
	return l.watch(s.backend.fd, s.slot<<1|1, s.backend.generation, both)
}

// connected is called for a socket that is connected before it is watched: what
// the client has sent is on its way before that. It returns false if the
// attempt failed.
func (l *loop) connected(s *session) bool {
	if l.isItself(s) {
		l.attemptFailed(s, unix.ECONNREFUSED)
		return false
	}
	l.stream(s)
	if s.state != streaming {
		return true
	}
	if errno := l.watchBackend(s); errno != 0 {
		l.end(s, fmt.Errorf("watch endpoint %s: %w", s.member.addr(), errno))
	}
	return true
}

// paces reports whether sockets that connect to the member are paced.
func (l *loop) paces(m *member) bool {
	if src := m.sockets(); src != nil {
		return src.paced.Load()
	}
	return l.paced
}

// scopeOf takes zones by number. A name is looked up here; in another network
// namespace it may mean something else.
func scopeOf(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	if n, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(a.Zone()); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// dialled is called when connecting has ended.
func (l *loop) dialled(s *session, what uint32) {
	switch {
	case what&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		l.attemptFailed(s, socketError(s.backend.fd))
		l.pick(s)
		return
	case what&unix.EPOLLOUT == 0:
		return
	case l.isItself(s):
		l.attemptFailed(s, unix.ECONNREFUSED)
		l.pick(s)
		return
	}
	l.stream(s)
}

// stream begins to forward. The session may be gone afterwards.
func (l *loop) stream(s *session) {
	s.state = streaming
	s.member.connected(time.Duration(l.clock() - s.dial.begun))
	if d := s.front.proxy.IdleTimeout; d > 0 {
		l.timers.set(&s.timer, l.clock()+int64(d))
	} else {
		l.timers.cancel(&s.timer)
	}
	s.dial = attempt{}
	if v := s.member.config.Load().header; v != 0 && !l.introduce(s, v) {
		return
	}
	if s.failed != nil {
		l.broke(&s.client, s.failed, true)
		return
	}
	if s.client.readable {
		l.pump(&s.client)
	}
	if s.state == streaming && s.backend.readable {
		l.pump(&s.backend)
	}
}

// firstEphemeral is the kernel's default.
const firstEphemeral = 32768

// isItself finds the sockets that the kernel has connected to themselves: where
// nobody listens on a port that is also one for outgoing connections, this
// happens when that very port is chosen.
func (l *loop) isItself(s *session) bool {
	addr := s.member.addr()
	if addr.Port() < firstEphemeral || sysGetsockname(s.backend.fd, &l.address) != 0 {
		return false
	}
	return l.address.get() == netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// attemptFailed gives the endpoint back.
func (l *loop) attemptFailed(s *session, err error) {
	m := s.member
	s.member = nil
	s.dial.err = fmt.Errorf("dial endpoint %s: %w", m.addr(), err)
	if s.dial.since == 0 {
		s.dial.since = l.clock()
	}
	s.state = pausing
	l.close(&s.backend, err)
	m.failed(err)
	m.release()
	if local(err) {
		s.front.short(s.dial.err)
	}
}

// short warns of what is missing here. Clients wait for it, and those who wait
// would not tell for as long as they do.
func (f *Front) short(err error) {
	n, ok := f.shortLog.allow()
	if !ok {
		return
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		err = fmt.Errorf("%w: all local ports are in use for it, see net.ipv4.ip_local_port_range; one more endpoint, or address of it, has as many again", err)
	}
	f.proxy.log().Warn("clients wait: no connection can be made from here", "listen", f.Addr().String(), "error", err, "suppressed", n)
}

// noEndpoint is called when the pool has none for the session, which then waits
// for one, for the next round, or ends. It returns one that has become free in
// this very moment.
func (l *loop) noEndpoint(s *session, err error) *member {
	d := &s.dial
	if d.err == nil || errors.Is(err, errFull) {
		m, waits := l.queue(s)
		if m != nil || waits {
			return m
		}
	}
	if d.err == nil {
		d.err = err
		if errors.Is(err, errFull) {
			l.giveUp(s) // to try again would be a queue without an end
			return nil
		}
	}
	if len(s.front.pool.view.Load().members) == 0 {
		l.giveUp(s) // what is not there is not about to start
		return nil
	}
	if d.since == 0 {
		d.since = l.clock()
	}
	limit := s.front.proxy.DialRetry
	if local(d.err) {
		limit = max(limit, s.front.proxy.dialTimeout())
	}
	left := limit - time.Duration(l.clock()-d.since)
	if left <= 0 {
		l.giveUp(s)
		return nil
	}
	d.pause = min(max(2*d.pause, minDialPause), maxDialPause)
	s.state = pausing
	l.timers.set(&s.timer, l.clock()+int64(min(d.pause, left)))
	return nil
}

// queue lets the session wait until the pool has something for it.
func (l *loop) queue(s *session) (m *member, waits bool) {
	slot, generation := s.slot, s.client.generation
	w, m, err := s.front.pool.wait(s.peer.Addr(), &s.dial.tried, func(m *member) {
		if !l.call(func(l *loop) { l.given(slot, generation, m) }) {
			m.release()
		}
	})
	if err != nil || m != nil {
		return m, false
	}
	s.dial.waiter, s.state = w, queueing
	l.timers.set(&s.timer, l.clock()+int64(s.front.pool.o.QueueTimeout))
	return nil, true
}

// given is called with the endpoint that a session waited for, which may have
// left.
func (l *loop) given(slot int32, generation uint32, m *member) {
	s := l.sessions.at(slot)
	if s.state != queueing || s.client.generation != generation {
		m.release()
		return
	}
	s.dial.waiter = nil
	if !l.use(s, m) {
		l.pick(s)
	}
}

// leaveQueue makes what is given from now on go back.
func (l *loop) leaveQueue(s *session) {
	if w := s.dial.waiter; w != nil {
		w.cancel()
		s.dial.waiter = nil
	}
}

// errQueued is the error of clients for whom no endpoint became free in time.
var errQueued = errors.New("no endpoint became free in time")

// dialTimeout is called when an attempt, or a pause between two, has taken its
// time.
func (l *loop) dialTimeout(s *session) {
	switch s.state {
	case heading:
		l.end(s, fmt.Errorf("read from client: %w", ErrHeaderShort))
	case queueing:
		l.leaveQueue(s)
		s.dial.err = errQueued
		l.giveUp(s)
	case stocking, dialling:
		l.attemptFailed(s, unix.ETIMEDOUT)
		l.pick(s)
	case pausing:
		s.dial.tried = triedSet{}
		l.pick(s)
	}
}

// giveUp ends a session for which no endpoint could be reached.
func (l *loop) giveUp(s *session) {
	f, err := s.front, s.dial.err
	f.pool.turnAway(err)
	if n, ok := f.dialLog.allow(); ok {
		f.proxy.log().Warn("no endpoint can be reached", "listen", f.Addr().String(),
			"client", s.peer.String(), "error", err, "suppressed", n)
	}
	l.end(s, err)
}
