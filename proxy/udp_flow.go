package proxy

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// flow is one client's conversation with one endpoint at a time.
type flow struct {
	key    flowKey
	fd     int // connected to the endpoint
	member *member

	// How to answer: the client's address, and the control message that sets
	// the proxy's.
	name                  [unix.SizeofSockaddrInet6]byte
	control               [controlSize]byte
	nameSize, controlSize int

	begun   time.Duration // when the first datagram went to this endpoint
	last    time.Duration // when one last went either way
	sent    bool          // one has gone to this endpoint
	replied bool          // one has come from it

	list       *flowList
	prev, next *flow
}

// flowList is ordered by when something last moved.
type flowList struct{ first, last *flow }

func (l *flowList) push(fl *flow) {
	fl.list, fl.prev, fl.next = l, l.last, nil
	if l.last == nil {
		l.first = fl
	} else {
		l.last.next = fl
	}
	l.last = fl
}

func (fl *flow) unlink() {
	l := fl.list
	if fl.prev == nil {
		l.first = fl.next
	} else {
		fl.prev.next = fl.next
	}
	if fl.next == nil {
		l.last = fl.prev
	} else {
		fl.next.prev = fl.prev
	}
	fl.list, fl.prev, fl.next = nil, nil, nil
}

// open begins a flow.
func (f *UDPFront) open(key flowKey, name []byte) *flow {
	if f.state.Load() != udpRunning {
		return nil
	}
	if len(f.flows) >= f.o.MaxFlows {
		f.evict(nil)
	}
	fl := &flow{key: key, fd: -1, last: f.now}
	fl.nameSize = copy(fl.name[:], name)
	if f.addr.Addr().IsUnspecified() {
		fl.controlSize = len(appendPacketInfo(fl.control[:0], key.local, key.scope, f.domain))
	}
	if !f.attach(fl, &triedSet{}) {
		return nil
	}
	f.flows[key] = fl
	f.young.push(fl)
	f.stats.total.Add(1)
	f.stats.active.Add(1)
	return fl
}

// attach connects the flow to an endpoint that was not tried yet.
func (f *UDPFront) attach(fl *flow, tried *triedSet) bool {
	var failure error
	for range maxEndpointsTried {
		m, err := f.pool.pick(fl.key.addr(), tried)
		if err != nil {
			if failure != nil {
				f.pool.turnAway(failure)
			} else {
				f.pool.turnAway(err)
			}
			f.warn(0, "no endpoint for a UDP client", errors.Join(err, failure))
			return false
		}
		fd, err := f.connect(m)
		if err == nil {
			f.byFD[int32(fd)] = fl
			fl.fd, fl.member, fl.sent, fl.replied = fd, m, false, false
			return true
		}
		m.failed(err)
		m.release()
		tried.add(m)
		failure = err
		if local(err) && !f.evict(fl) {
			break
		}
	}
	f.pool.turnAway(failure)
	f.warn(1, "cannot reach an endpoint for a UDP client", failure)
	return false
}

// connect returns a socket that is connected to the member and watched.
func (f *UDPFront) connect(m *member) (fd int, err error) {
	addr := m.addr()
	domain := unix.AF_INET6
	if addr.Addr().Is4() {
		domain = unix.AF_INET
	}
	if fd, err = m.sockets().one(domain, unix.SOCK_DGRAM); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = os.NewSyscallError("connect", unix.Connect(fd, socketAddress(addr))); err == nil {
		err = f.watch(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// detach is the end of attach.
func (f *UDPFront) detach(fd int, m *member) {
	delete(f.byFD, int32(fd))
	unix.Close(fd)
	m.release()
}

// end forgets a flow.
func (f *UDPFront) end(fl *flow) {
	f.detach(fl.fd, fl.member)
	f.forget(fl)
}

// forget is the end of open.
func (f *UDPFront) forget(fl *flow) {
	fl.unlink()
	delete(f.flows, fl.key)
	f.stats.active.Add(-1)
}

// unreachable moves the flow to another endpoint, and ends it if there is none.
func (f *UDPFront) unreachable(fl *flow, err error) bool {
	var tried triedSet
	tried.add(fl.member)
	fl.member.failed(err)
	f.detach(fl.fd, fl.member)
	if f.attach(fl, &tried) {
		return true
	}
	f.stats.failed.Add(1)
	f.forget(fl)
	return false
}

// replace moves the flow to another endpoint if its own has left the pool, and
// there is one.
func (f *UDPFront) replace(fl *flow) {
	if !fl.member.draining.Load() {
		return
	}
	fd, m := fl.fd, fl.member
	if f.attach(fl, &triedSet{}) {
		f.detach(fd, m)
	}
}

// refused reports whether the kernel has heard that the endpoint does not listen.
func (fl *flow) refused() bool {
	code, err := unix.GetsockoptInt(fl.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err == nil && isUnreachable(unix.Errno(code))
}

// isUnreachable tells the errors that an ICMP message or the lack of a route
// makes.
func isUnreachable(err error) bool {
	switch err {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.EACCES, unix.EPERM:
		return true
	}
	return false
}

// answered notes a reply.
func (f *UDPFront) answered(fl *flow) {
	if !fl.replied {
		fl.replied = true
		fl.member.connected(f.now - fl.begun)
	}
	f.touch(fl)
}

// silentFor is how long an endpoint that never replies has to take datagrams
// without refusing them to count as reached.
const silentFor = time.Second

// touch notes that something moved.
func (f *UDPFront) touch(fl *flow) {
	if m := fl.member; !fl.replied && m.failing.Load() && f.now-fl.begun > silentFor {
		m.recover()
	}
	fl.last = f.now
	fl.unlink()
	if fl.replied && f.now-fl.begun > streamAfter {
		f.stream.push(fl)
	} else {
		f.young.push(fl)
	}
}

// timeouts returns those of young flows and of streams.
func (f *UDPFront) timeouts() (young, stream time.Duration) {
	if d := f.o.IdleTimeout; d > 0 {
		return d, d
	}
	return newFlowTimeout, streamTimeout
}

// nextExpiry returns when the first flow ends if nothing more moves; 0 if there
// is none.
func (f *UDPFront) nextExpiry() (next time.Duration) {
	young, stream := f.timeouts()
	if fl := f.young.first; fl != nil {
		next = fl.last + young
	}
	if fl := f.stream.first; fl != nil && (next == 0 || fl.last+stream < next) {
		next = fl.last + stream
	}
	return next
}

// expire ends the flows that were idle for long enough.
func (f *UDPFront) expire() {
	young, stream := f.timeouts()
	for fl := f.young.first; fl != nil && fl.last+young <= f.now; fl = f.young.first {
		f.stats.expired.Add(1)
		f.end(fl)
	}
	for fl := f.stream.first; fl != nil && fl.last+stream <= f.now; fl = f.stream.first {
		f.stats.expired.Add(1)
		f.end(fl)
	}
}

// evict makes room for one flow, and reports whether there was another one to
// end.
func (f *UDPFront) evict(keep *flow) bool {
	for _, l := range []*flowList{&f.young, &f.stream} {
		fl := l.first
		if fl != nil && fl == keep {
			fl = fl.next
		}
		if fl != nil {
			f.stats.evicted.Add(1)
			f.end(fl)
			return true
		}
	}
	return false
}

func (f *UDPFront) warn(sort int, message string, err error) {
	if f.o.Log == nil {
		return
	}
	if n, ok := f.log[sort].allow(); ok {
		f.o.Log.Warn(message, "listen", "udp "+f.addr.String(), "error", err, "suppressed", n)
	}
}
