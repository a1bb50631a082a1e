package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets makes the sockets that connect to endpoints elsewhere: a socket
// belongs to the network namespace in which it was made and can be connected
// from any thread. Since making one in another namespace takes a change of
// thread, they are made in batches, and a few are kept ready; how many follows
// from how fast they go, and those that nobody needs for a while are closed. Endpoints in one namespace should share one Sockets.
//
// Make must be set. Methods may be called from several goroutines.
type Sockets struct {
	// Make makes n sockets, socket(2), of the domain AF_INET or AF_INET6 and
	// the type SOCK_STREAM or SOCK_DGRAM, or at least one. They are
	// close-on-exec and non-blocking, and belong to the caller. Make is
	// called on a goroutine of its own and may block.
	Make func(domain, typ, n int) ([]int, error)

	paced atomic.Bool // what it makes is, as long as nobody says otherwise

	mu     sync.Mutex
	closed bool
	stocks [4]stock // by kind
}

// Sizes of a stock, and how long half of one lasts if the size is right.
const (
	minStock   = 2
	maxStock   = 128
	stockLasts = 20 * time.Millisecond
	// Of a stock that nobody took from for this long, little is kept.
	stockRests = 10 * time.Second
)

// stock is of one domain and type.
type stock struct {
	ready   []int
	size    int // what ready is filled up to
	filling bool
	filled  time.Time // last
	used    bool      // since the timer was set
	timer   *time.Timer
	waiting []func(fd int, err error)
}

func (s *Sockets) stock(domain, typ int) *stock {
	i := 0
	if domain == unix.AF_INET6 {
		i = 1
	}
	if typ == unix.SOCK_DGRAM {
		i += 2
	}
	return &s.stocks[i]
}

// take returns a socket if one is ready.
func (s *Sockets) take(domain, typ int) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.stock(domain, typ)
	if len(k.ready) == 0 {
		return -1, false
	}
	fd = k.ready[len(k.ready)-1]
	k.ready = k.ready[:len(k.ready)-1]
	k.used = true
	if len(k.ready) < k.size/2 {
		s.fill(k, domain, typ)
	}
	return fd, true
}

// await calls give with a socket or an error when there is one, on another
// goroutine. Who no longer wants the socket gives it back.
func (s *Sockets) await(domain, typ int, give func(fd int, err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.stock(domain, typ)
	k.waiting = append(k.waiting, give)
	s.fill(k, domain, typ)
}

// get waits for a socket. The error is Make's, or ErrClosed.
func (s *Sockets) get(domain, typ int) (int, error) {
	if fd, ok := s.take(domain, typ); ok {
		return fd, nil
	}
	type answer struct {
		fd  int
		err error
	}
	c := make(chan answer, 1)
	s.await(domain, typ, func(fd int, err error) { c <- answer{fd, err} })
	a := <-c
	return a.fd, a.err
}

// giveBack returns a socket that was not used.
func (s *Sockets) giveBack(domain, typ, fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.stock(domain, typ)
	if s.closed || len(k.ready) >= maxStock {
		unix.Close(fd)
		return
	}
	k.ready = append(k.ready, fd)
}

// fill is called with the lock held. The stock's size is doubled if it was
// emptied sooner, and halved if it was emptied much later than it should.
func (s *Sockets) fill(k *stock, domain, typ int) {
	if k.filling {
		return
	}
	now := time.Now()
	switch lasted := now.Sub(k.filled); {
	case lasted < stockLasts:
		k.size = min(2*k.size, maxStock)
	case lasted > 16*stockLasts:
		k.size /= 2
	}
	k.size = max(k.size, minStock)
	k.filling = true
	go s.make(k, domain, typ)
}

// make fills a stock until nobody waits.
func (s *Sockets) make(k *stock, domain, typ int) {
	for {
		s.mu.Lock()
		n, closed := max(k.size-len(k.ready), 0)+len(k.waiting), s.closed
		if n == 0 || closed && len(k.waiting) == 0 {
			s.filled(k)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		var fds []int
		err := error(ErrClosed)
		if !closed {
			fds, err = s.Make(domain, typ, min(n, maxStock))
			if err == nil && len(fds) == 0 {
				err = errNoSocket
			}
			if err == nil && typ == unix.SOCK_STREAM {
				s.paced.Store(paces(fds[0]))
			}
		}
		if !s.deliver(k, fds, err) {
			return
		}
	}
}

// filled is called with the lock held when a stock is as large as it should be.
func (s *Sockets) filled(k *stock) {
	k.filling, k.filled = false, time.Now()
	if k.timer == nil && len(k.ready) > minStock {
		k.used = false
		k.timer = time.AfterFunc(stockRests, func() { s.rest(k) })
	}
}

// rest closes what nobody needed for a while.
func (s *Sockets) rest(k *stock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || k.filling:
		k.timer = nil
	case k.used:
		k.used = false
		k.timer.Reset(stockRests)
	default:
		k.timer = nil
		if n := len(k.ready); n > minStock {
			closeAll(k.ready[minStock:])
			k.ready = k.ready[:minStock]
			k.size = minStock
		}
	}
}

var errNoSocket = errors.New("Sockets.Make returned no socket")

// deliver serves those who wait, first come first served; an error is for all
// of them. It reports whether there is more to do.
func (s *Sockets) deliver(k *stock, fds []int, err error) (more bool) {
	s.mu.Lock()
	n := len(k.waiting)
	if err == nil {
		n = min(n, len(fds))
	}
	served := k.waiting[:n:n]
	k.waiting = k.waiting[n:]
	rest := fds[min(n, len(fds)):]
	if s.closed {
		closeAll(rest)
	} else {
		k.ready = append(k.ready, rest...)
	}
	more = len(k.waiting) > 0
	if !more {
		k.waiting = nil
		s.filled(k)
	}
	s.mu.Unlock()
	for i, give := range served {
		if err != nil {
			give(-1, err)
		} else {
			give(fds[i], nil)
		}
	}
	return more
}

// Close closes the sockets that are ready, and makes no more: connections to
// endpoints that use s fail with [ErrClosed].
func (s *Sockets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for i := range s.stocks {
		closeAll(s.stocks[i].ready)
		s.stocks[i].ready = nil
		if t := s.stocks[i].timer; t != nil {
			t.Stop()
		}
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
