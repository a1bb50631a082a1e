package proxy

import (
	"golang.org/x/sys/unix"
)

const (
	// maxBurst is how many reads one connection has before it is the others'
	// turn.
	maxBurst = 8
	// bulkAfter reads in a row that took all there was room for make a
	// direction be spliced, and as many small ones end that.
	bulkAfter = 2
	// smallSplice is one that copying would have done as well.
	smallSplice = 16 << 10
)

// pending reports whether the end has not taken all that was read for it.
func (e *end) pending() bool { return e.held != nil || e.pipe != nil }

// pump forwards what comes from src until there is no more, the other end takes
// no more, or others have waited for long enough. The session may be gone
// afterwards.
func (l *loop) pump(src *end) {
	s, dst := src.s, src.other
	for range maxBurst {
		if dst.pending() && !l.flush(dst) {
			return
		}
		if src.eof || !src.readable {
			l.passEnd(src)
			return
		}
		var ok bool
		switch {
		case s.failed != nil && src != s.broken:
			ok = l.discard(src)
		case src.splicing:
			ok = l.splice(src)
		default:
			ok = l.copy(src)
		}
		if !ok {
			return
		}
	}
	if !src.queued {
		src.queued = true
		l.again = append(l.again, src)
	}
}

// readAgain goes on with those that had to let others pass.
func (l *loop) readAgain() {
	list := l.again
	l.again = nil
	for _, e := range list {
		e.queued = false
		if e.s.state == streaming {
			l.pump(e)
		}
	}
	if len(l.again) == 0 {
		l.again = list[:0]
	}
}

// copy reads once and writes it. It returns false when pump is to stop.
func (l *loop) copy(src *end) bool {
	n, errno := sysRecv(src.fd, l.buf[:])
	if errno != 0 || n == 0 {
		return l.readEnded(src, errno)
	}
	if n == bufferSize {
		if src.bulk++; src.bulk >= bulkAfter {
			src.splicing = !src.urgent
			src.bulk = bulkAfter
			l.bound(src.other)
		}
		return l.write(src.other, l.buf[:n], 0)
	}
	src.bulk = 0
	if src.fin && src.s.failed == nil {
		// One packet for the bytes and the end, which pump passes on next.
		src.eof, src.readable = true, false
		return l.write(src.other, l.buf[:n], unix.MSG_MORE)
	}
	// What comes now will be told.
	src.readable = src.closing || src.urgent
	return l.write(src.other, l.buf[:n], 0)
}

// dress sets, before the second write, what the socket needs from then on. The
// first small segment leaves at once in any case: a connection with one request
// goes without.
func (e *end) dress() {
	e.dressed = true
	if e == &e.s.backend {
		setNoDelay(e.fd)
	}
	if e.paced {
		setUnpaced(e.fd)
	}
}

// write hands b to the end and keeps what it does not take.
func (l *loop) write(dst *end, b []byte, flags int) bool {
	if !dst.dressed && !dst.fresh {
		dst.dress()
	}
	dst.fresh = false
	for len(b) > 0 {
		n, errno := sysSend(dst.fd, b, flags)
		switch errno {
		case 0:
			dst.n += int64(n)
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			dst.held, dst.sent = l.buffers.hold(b), 0
			return false
		default:
			l.writeFailed(dst, errno)
			return false
		}
	}
	return true
}

// splice reads once into a pipe and writes what it can of it.
func (l *loop) splice(src *end) bool {
	dst := src.other
	p := l.pipes.get()
	if p == nil {
		src.splicing, src.bulk = false, 0
		return true
	}
	n, errno := sysSplice(src.fd, p.w, pipeSize)
	if errno != 0 || n == 0 {
		l.pipes.put(p)
		if errno == unix.EINVAL {
			// Not a socket that can be spliced (Multipath TCP).
			src.splicing, src.bulk = false, -128
			return true
		}
		return l.readEnded(src, errno)
	}
	switch {
	case n >= smallSplice:
		src.bulk = bulkAfter
	default:
		if src.bulk--; src.bulk <= 0 {
			src.splicing = false
		}
	}
	if !dst.dressed {
		dst.dress()
	}
	p.n, dst.pipe, dst.fresh = n, p, false
	return l.flush(dst)
}

// flush writes what the end has not taken yet. It returns false if that is not
// all taken now, or the session is gone.
func (l *loop) flush(dst *end) bool {
	for dst.pending() {
		n, errno := dst.writePending()
		switch errno {
		case 0:
			dst.n += int64(n)
			if dst.taken(n) {
				l.drop(dst)
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			l.writeFailed(dst, errno)
			return false
		}
	}
	return true
}

func (e *end) writePending() (int, unix.Errno) {
	if e.pipe != nil {
		return sysSplice(e.pipe.r, e.fd, e.pipe.n)
	}
	return sysSend(e.fd, e.held[e.sent:], 0)
}

// taken reports whether nothing is pending after n bytes more.
func (e *end) taken(n int) bool {
	if e.pipe != nil {
		e.pipe.n -= n
		return e.pipe.n == 0
	}
	e.sent += int32(n)
	return int(e.sent) == len(e.held)
}

// readEnded is called when reading gave no bytes. It returns false when pump is
// to stop.
func (l *loop) readEnded(src *end, errno unix.Errno) bool {
	s := src.s
	switch {
	case errno == unix.EINTR:
		return true
	case errno == unix.EAGAIN:
		src.readable, src.urgent = false, false
		return true
	case errno == 0 || src == s.broken:
		// Of a broken end either way: a socket tells the error that ended it
		// once, then reading says end of file.
		src.eof, src.readable = true, false
		return true
	case s.failed != nil:
		l.end(s, s.failed)
	default:
		src.eof, src.readable = true, false
		l.broke(src, src.trouble("read from", errno), false)
	}
	return false
}

// passEnd passes the end of a direction on, once all its bytes are.
func (l *loop) passEnd(src *end) {
	dst := src.other
	switch {
	case !src.eof:
	case src.s.failed != nil:
		if src == src.s.broken {
			l.spoken(src.s)
		}
	case dst.shut:
	case src.shut && dst.eof:
		// So did the other direction; closing says goodbye as well.
		l.end(src.s, nil)
	default:
		dst.shut = true
		if errno := sysShutdown(dst.fd); errno != 0 {
			l.end(src.s, dst.trouble("shut down", errno))
		}
	}
}

// writeFailed is called when an end takes nothing any more.
func (l *loop) writeFailed(dst *end, errno unix.Errno) {
	s := dst.s
	if s.failed != nil {
		l.drop(dst)
		l.end(s, s.failed)
		return
	}
	l.broke(dst, dst.trouble("write to", errno), dst.eof || errorAfterEnd(errno))
}
