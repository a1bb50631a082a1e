package proxy

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// headerTimeout is how long a client may take to say who it is.
const headerTimeout = 3 * time.Second

// awaitHeader waits for the client's header before an endpoint is chosen.
func (l *loop) awaitHeader(s *session) {
	s.state = heading
	l.timers.set(&s.timer, l.clock()+int64(headerTimeout))
	l.readHeader(s)
}

// readHeader reads the client's header, and nothing behind it, once that is there
// as a whole.
func (l *loop) readHeader(s *session) {
	c := &s.client
	n, errno := sysPeek(c.fd, l.buf[:])
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		l.end(s, c.trouble("read from", errno))
		return
	}
	h, length, err := ParseHeader(l.buf[:n])
	if errors.Is(err, ErrHeaderShort) && n < bufferSize && !c.closing {
		return // there will be an event for the rest
	}
	if err != nil {
		l.end(s, fmt.Errorf("read from client: %w", err))
		return
	}
	sysRecv(c.fd, l.buf[:length])
	if h.Source.IsValid() {
		s.peer = h.Source
	}
	c.readable = n > length || c.closing || c.urgent
	l.timers.cancel(&s.timer)
	l.pick(s)
}

// introduce tells the endpoint who the client is. It returns false if the session
// is gone.
func (l *loop) introduce(s *session, version uint8) bool {
	h := Header{Source: s.peer, Destination: s.front.led}
	if !h.Destination.IsValid() && sysGetsockname(s.client.fd, &l.address) == 0 {
		h.Destination = l.address.get()
	}
	b := l.buf[:0]
	if version == 1 {
		b = h.AppendV1(b)
	} else {
		b = h.AppendV2(b)
	}
	s.backend.n -= int64(len(b)) // not from the client
	l.write(&s.backend, b, 0)
	return s.state == streaming
}
