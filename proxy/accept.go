package proxy

import (
	"time"

	"golang.org/x/sys/unix"
)

// Pauses after a failure to accept: what is missing (descriptors, memory) comes
// back when connections end.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// maxAccepts are accepted before it is the others' turn.
const maxAccepts = 64

// acceptor is a front's listening socket in one loop. All loops watch the same
// socket, of which the kernel tells one at a time (EPOLLEXCLUSIVE).
type acceptor struct {
	front      *Front
	place      int // in loop.acceptors
	generation uint32
	batch      int // how many are accepted at once
	pause      time.Duration
	timer      timer
	watched    bool
	full       bool // waits for room below Proxy.MaxConns
}

// listen begins to accept a front's clients.
func (l *loop) listen(f *Front) {
	l.generation++
	a := &acceptor{front: f, generation: l.generation, batch: 1, place: len(l.acceptors)}
	a.timer.a = a
	for i, x := range l.acceptors {
		if x == nil {
			a.place = i
		}
	}
	if a.place == len(l.acceptors) {
		l.acceptors = append(l.acceptors, a)
	}
	l.acceptors[a.place] = a
	l.resume(a)
}

// unlisten ends it.
func (l *loop) unlisten(f *Front) {
	for i, a := range l.acceptors {
		if a == nil || a.front != f {
			continue
		}
		l.timers.cancel(&a.timer)
		l.setFull(a, false)
		if a.watched {
			l.unwatch(f.fd)
		}
		l.acceptors[i] = nil
		f.unwatched()
	}
}

// resume watches the socket. Clients that already wait are told at once.
func (l *loop) resume(a *acceptor) {
	l.setFull(a, false)
	if a.watched {
		return
	}
	errno := l.watch(a.front.fd, firstAcceptor-int32(a.place), a.generation, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
	if errno != 0 {
		l.acceptFailed(a, errno)
		return
	}
	a.watched = true
}

func (l *loop) suspend(a *acceptor) {
	if a.watched {
		l.unwatch(a.front.fd)
		a.watched = false
	}
}

// accept takes some of the clients that wait. No failure ends a front: one that
// gave up for want of a descriptor would stay dead.
func (l *loop) accept(a *acceptor) {
	for i := range a.batch {
		if !a.front.proxy.enter() {
			l.waitForRoom(a)
			return
		}
		fd, errno := l.acceptOne(a.front)
		if errno == 0 {
			l.welcome(a.front, fd)
			continue
		}
		a.front.proxy.leave()
		switch errno {
		case unix.EAGAIN:
			// The next time there may be as many again: this saves the
			// call that finds none.
			a.batch = max(i, 1)
			l.resume(a)
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.ENETUNREACH:
			continue // of that client, accept(2)
		case unix.EINVAL:
			l.notListening(a)
		default:
			l.acceptFailed(a, errno)
		}
		return
	}
	a.batch = min(2*a.batch, maxAccepts)
	a.pause = 0
	l.resume(a)
}

// acceptOne makes sure that there is a descriptor for the endpoint's side before
// it takes one for the client's: clients must not take all that there are.
func (l *loop) acceptOne(f *Front) (int32, unix.Errno) {
	if l.spare < 0 {
		fd, errno := sysSocket(unix.AF_INET)
		if errno != 0 && local(errno) {
			return -1, errno
		}
		if errno == 0 {
			l.spare = fd
		}
	}
	return sysAccept(f.fd, &l.address)
}

// welcome gives a client to the loop that has fewest, roughly.
func (l *loop) welcome(f *Front, fd int32) {
	f.running.Add(1)
	to := l.choose()
	to.load.Add(1)
	if to == l {
		l.open(f, fd, &l.address)
	} else {
		to.post(message{front: f, fd: fd, client: l.address})
	}
}

// choose compares with one other loop. Handing a client over costs a wake-up:
// for a small difference it stays.
func (l *loop) choose() *loop {
	if len(l.peers) < 2 {
		return l
	}
	l.next++
	other := l.peers[l.next%len(l.peers)]
	if its := other.load.Load(); l.load.Load() > its+its/4+1 {
		return other
	}
	return l
}

// acceptFailed pauses: trying again at once would spin.
func (l *loop) acceptFailed(a *acceptor, errno unix.Errno) {
	a.pause = min(max(2*a.pause, minAcceptPause), maxAcceptPause)
	f := a.front
	if n, ok := f.acceptLog.allow(); ok {
		f.proxy.log().Warn("accept failed, trying again", "listen", f.Addr().String(), "error", errno, "suppressed", n)
	}
	l.suspend(a)
	l.timers.set(&a.timer, l.clock()+int64(a.pause))
}

// waitForRoom leaves clients in the kernel's queue until one of those that are
// served has gone. Who counts down looks for those who wait afterwards, who
// waits looks at the number afterwards: so none waits in vain.
func (l *loop) waitForRoom(a *acceptor) {
	l.suspend(a)
	l.setFull(a, true)
	if p := a.front.proxy; p.open.Load() < int64(p.MaxConns) {
		l.vacancy = true
	}
}

func (l *loop) setFull(a *acceptor, full bool) {
	if a.full == full {
		return
	}
	a.full = full
	if full {
		a.front.proxy.full.Add(1)
	} else {
		a.front.proxy.full.Add(-1)
	}
}

// freed is called when a session has gone. The place is given to clients of this
// loop's acceptors, whether they were suspended or not: of a client that came
// while another loop was, the kernel may have told that one only.
func (l *loop) freed(p *Proxy) {
	p.leave()
	l.load.Add(-1)
	if p.full.Load() > 0 {
		l.vacancy = true
	}
}

// fillVacancy begins with another front each time.
func (l *loop) fillVacancy() {
	if !l.vacancy {
		return
	}
	l.vacancy = false
	l.next++
	for i := range l.acceptors {
		a := l.acceptors[(i+l.next)%len(l.acceptors)]
		if a != nil && a.timer.pos == 0 && a.front.proxy.full.Load() > 0 {
			l.accept(a)
		}
	}
}
