package proxy

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxEvents are taken from the kernel at once.
	maxEvents = 256
	// A loop that was busy waits for a while without giving its place in
	// Go's scheduler away: to ask for it back costs more than most of what a
	// loop does between two waits. Where all places are taken by loops the
	// wait is short, for the sake of other goroutines.
	eagerWait      = 10 * time.Millisecond
	eagerWaitShort = 100 * time.Microsecond
)

// loop forwards the connections that it was given, all of them on one
// goroutine: no lock is taken and nothing is allocated on the way of a byte.
//
// Sockets are watched edge-triggered, and once for all: an event says that
// reading or writing is worth a try, and end.readable remembers what was not
// tried to the end.
type loop struct {
	peers []*loop // all of its set, this one included
	ep    int32
	bell  int32 // an eventfd that ends the wait
	ended chan struct{}
	parking

	events  [maxEvents]unix.EpollEvent
	event   unix.EpollEvent
	wait    unix.Timespec
	address sockaddr
	info    unix.TCPInfo
	buf     [bufferSize]byte

	sessions   slab
	acceptors  []*acceptor // nil where one has gone
	arrived    []*session  // wait for a look at what they have sent
	again      []*end      // stopped reading before the end, for fairness
	timers     timers
	buffers    buffers
	pipes      pipes
	next       int    // whose turn it is, where there are several
	generation uint32 // of the last acceptor
	spare      int32  // a socket for the next connection, or -1
	paced      bool   // sockets that are made here are
	eager      time.Duration
	stopping   bool
	vacancy    bool // there may be room below Proxy.MaxConns again
	oldMail    []message
	now        int64 // of the clock, when this round began; 0: not read yet

	load atomic.Int32 // sessions

	_    [64]byte // what follows is written by others
	mu   sync.Mutex
	mail []message
	rung bool
	over bool
}

// message is work for a loop: either a call, or a client that another loop has
// accepted.
type message struct {
	call   func(*loop)
	front  *Front
	fd     int32
	client sockaddr
}

// What events are of, if not of a session's socket: the bell, or an acceptor,
// whose place is counted down from firstAcceptor.
const (
	bellID        = -1
	firstAcceptor = -2
)

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(ep)
		return nil, err
	}
	place, err := newParking()
	if err != nil {
		unix.Close(ep)
		unix.Close(bell)
		return nil, err
	}
	l := &loop{parking: place, ep: int32(ep), bell: int32(bell), spare: -1, paced: pacesHere(), ended: make(chan struct{})}
	// Edge-triggered, so that it need not be read.
	if errno := l.watch(l.bell, bellID, 0, unix.EPOLLIN|edge); errno != 0 {
		l.free()
		return nil, errno
	}
	return l, nil
}

func (l *loop) free() {
	l.door.Close()
	closeFD(l.ep)
	closeFD(l.bell)
	if l.spare >= 0 {
		closeFD(l.spare)
	}
	l.pipes.close()
}

// edge is EPOLLET, which package unix has as a negative number.
const edge = 1 << 31

// watch adds a socket. id and generation come back with its events.
func (l *loop) watch(fd, id int32, generation, what uint32) unix.Errno {
	l.event = unix.EpollEvent{Events: what, Fd: id, Pad: int32(generation)}
	return epollControl(l.ep, unix.EPOLL_CTL_ADD, fd, &l.event)
}

func (l *loop) unwatch(fd int32) { epollControl(l.ep, unix.EPOLL_CTL_DEL, fd, &l.event) }

// post hands work to the loop, which does it soon. It may be called by anybody,
// and returns false when the loop has ended.
func (l *loop) post(m message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.mail = append(l.mail, m)
	if !l.rung {
		l.rung = true
		unix.Write(int(l.bell), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return true
}

func (l *loop) call(f func(*loop)) bool { return l.post(message{call: f}) }

func (l *loop) readMail() {
	l.mu.Lock()
	mail := l.mail
	l.mail, l.rung = l.oldMail[:0], false
	l.mu.Unlock()
	for i := range mail {
		if m := &mail[i]; m.call != nil {
			m.call(l)
		} else {
			l.open(m.front, m.fd, &m.client)
		}
	}
	clear(mail)
	l.oldMail = mail
}

func (l *loop) run() {
	running.Add(1)
	defer l.finish()
	for !l.stopping {
		n := l.await()
		l.now = 0
		arrived := l.arrived
		l.arrived = nil
		for i := range l.events[:n] {
			l.handle(&l.events[i])
		}
		l.dialAll(arrived)
		l.readAgain()
		for len(l.timers) > 0 {
			t := l.timers.due(l.clock())
			if t == nil {
				break
			}
			l.ring(t)
		}
		l.fillVacancy()
		l.sessions.recycle()
	}
}

// finish ends the loop when no front has anything in it any more. What comes in
// the mail is of those who changed their minds.
func (l *loop) finish() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.readMail()
	l.free()
	running.Add(-1)
	close(l.ended)
}

// handle is called for what epoll tells. An event may be of a socket that was
// closed since: its generation is over.
func (l *loop) handle(e *unix.EpollEvent) {
	switch {
	case e.Fd >= 0:
		if x := l.sessions.end(e.Fd); x.generation == uint32(e.Pad) {
			l.happened(x, e.Events)
		}
	case e.Fd == bellID:
		l.readMail()
	default:
		if a := l.acceptors[firstAcceptor-e.Fd]; a != nil && a.generation == uint32(e.Pad) {
			l.accept(a)
		}
	}
}

func (l *loop) ring(t *timer) {
	if t.a != nil {
		l.accept(t.a)
	} else {
		l.timeout(t.s)
	}
}

// await returns how many events there are. A loop with nothing to do does not
// wake up before the next timer.
func (l *loop) await() int {
	look := time.Duration(0)
	switch {
	case l.hasMore():
	case l.eager > 0:
		look = l.eager
		if len(l.timers) > 0 {
			look = max(min(look, time.Duration(l.timers[0].when-l.clock())), 0)
		}
	}
	n, errno := epollLook(l.ep, l.events[:], look, &l.wait)
	switch {
	case errno == unix.EINTR:
		return 0
	case errno == 0 && (n > 0 || l.hasMore()):
		return n
	}
	l.now = 0
	begun, patience := l.clock(), eagerWaitShort
	if errno == 0 && runtime.GOMAXPROCS(0) > int(running.Load()) {
		patience = eagerWait
		n = l.park()
	} else {
		n = l.block()
	}
	l.now = 0
	switch {
	case l.clock()-begun < int64(patience):
		l.eager = patience
	case patience == eagerWait:
		l.eager = eagerWaitShort // for an answer that comes at once
	default:
		l.eager = 0
	}
	return n
}

// block waits for events, or a timer, in an ordinary system call.
func (l *loop) block() int {
	until := -1
	if len(l.timers) > 0 {
		until = int(max(l.timers[0].when-l.clock()+int64(time.Millisecond)-1, 0) / int64(time.Millisecond))
	}
	n, _ := unix.EpollWait(int(l.ep), l.events[:], until)
	return max(n, 0)
}

// hasMore reports whether there is work besides events.
func (l *loop) hasMore() bool { return len(l.arrived) > 0 || len(l.again) > 0 || l.vacancy }

// running counts the loops of this process.
var running atomic.Int32

// epoch makes monotonic time a number.
var epoch = time.Now()

// clock returns the time of this round.
func (l *loop) clock() int64 {
	if l.now == 0 {
		l.now = int64(time.Since(epoch))
	}
	return l.now
}
