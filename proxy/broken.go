package proxy

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lastWords is for how long an end that takes nothing may keep the other one,
	// which was reset, from being forgotten.
	lastWords = 10 * time.Second
	// lastWill is the same where that one had said goodbye before. About as long
	// does the kernel keep a connection whose program has closed it
	// (tcp_orphan_retries).
	lastWill = 2 * time.Minute

	minLook = time.Millisecond
	maxLook = time.Second
)

// breakage is what is known of an end that has failed.
type breakage struct {
	failed  error // why; nil: none has
	broken  *end
	orderly bool          // it had said goodbye before
	acked   int64         // bytes that the other end has
	until   int64         // when that is to have more
	look    time.Duration // from now, for what it has
}

// broke is called when an end has failed: it takes nothing any more, and what the
// other one sends is thrown away. What it had sent itself is still there (an answer
// that refuses an upload, a request whose sender does not wait for the answer) and
// goes on; then its goodbye, if there was one. Once the other end has all that, it
// is reset: sooner, that would take away what is on its way.
func (l *loop) broke(e *end, err error, orderly bool) {
	s := e.s
	l.drop(e)
	s.breakage = breakage{failed: err, broken: e, orderly: orderly, look: minLook}
	s.until = l.clock() + int64(l.patience(s))
	l.timers.set(&s.timer, s.until)
	e.readable = true
	l.pump(e)
	if s.state == streaming {
		l.pump(e.other)
	}
}

// patience is how long the other end may take nothing.
func (l *loop) patience(s *session) time.Duration {
	if !s.orderly {
		return lastWords
	}
	if limit := s.front.proxy.IdleTimeout; limit > 0 {
		return min(limit, lastWill)
	}
	return lastWill
}

// spoken is called when all that a broken end has said was written.
func (l *loop) spoken(s *session) {
	o := s.broken.other
	if s.orderly && !o.shut {
		o.shut = true
		if sysShutdown(o.fd) != 0 {
			l.end(s, s.failed)
			return
		}
	}
	l.lookAfter(s)
}

// lookAfter ends a session with a broken end when the other one has all, or has
// taken nothing for too long. Nobody tells when bytes are acknowledged.
func (l *loop) lookAfter(s *session) {
	o := s.broken.other
	waiting := unsent(o.fd)
	if acked := o.n - int64(waiting); acked > s.acked {
		s.acked, s.until = acked, l.clock()+int64(l.patience(s))
	}
	written := s.broken.eof && !o.pending()
	switch {
	case written && waiting == 0, l.clock() >= s.until:
		l.end(s, s.failed)
	case written:
		l.timers.set(&s.timer, min(l.clock()+int64(s.look), s.until))
		s.look = min(2*s.look, maxLook)
	default:
		l.timers.set(&s.timer, s.until)
	}
}

// discard reads what nobody is there to take. An end that waited for that might
// not read either what is still for itself.
func (l *loop) discard(src *end) bool {
	n, errno := sysRecv(src.fd, l.buf[:])
	if errno != 0 || n == 0 {
		return l.readEnded(src, errno)
	}
	src.readable = n == bufferSize || src.closing || src.urgent
	return true
}

// unsent returns how much of what was written the peer has not acknowledged, in
// bytes; the goodbye is one.
func unsent(fd int32) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// ailing is called when a socket is over in both directions or has failed, and
// what could be read was read.
func (l *loop) ailing(e *end, what uint32) {
	s := e.s
	switch {
	case s.failed != nil:
		if e != s.broken {
			l.end(s, s.failed)
		}
	case what&unix.EPOLLERR != 0:
		err := socketError(e.fd)
		goodbye := errorAfterEnd(err)
		if goodbye {
			err = unix.ECONNRESET
		}
		l.broke(e, e.trouble("connection to", err), e.eof || goodbye)
	case e.eof && !e.shut:
		l.broke(e, e.trouble("connection to", unix.ECONNRESET), true) // somebody was told why
	}
}

// errorAfterEnd tells from its error whether a socket was reset after its peer's
// end had come: the kernel makes that EPIPE.
func errorAfterEnd(err error) bool { return err == unix.EPIPE }
