package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// activity is the moment when bytes last went through the proxy's memory. A
// nil one records nothing.
type activity struct {
	last atomic.Int64 // nanoseconds since epoch
}

// epoch makes monotonic time a number.
var epoch = time.Now()

func newActivity() *activity {
	a := &activity{}
	a.touch()
	return a
}

func (a *activity) touch() {
	if a != nil {
		a.last.Store(int64(time.Since(epoch)))
	}
}

// idleWatch is a timer that fires when two connections have been quiet. What is
// spliced passes nobody who could note the time, so the kernel is asked when
// the timer ends, and the timer set again for what is left. Forwarding pays
// nothing for it.
type idleWatch struct {
	limit  time.Duration
	pair   [2]net.Conn
	busy   *activity
	expire func()

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func watchIdle(limit time.Duration, a, b net.Conn, busy *activity, expire func()) (stop func()) {
	w := &idleWatch{limit: limit, pair: [2]net.Conn{a, b}, busy: busy, expire: expire}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, w.check)
	return w.stop
}

func (w *idleWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func (w *idleWatch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	quiet := time.Since(epoch) - time.Duration(w.busy.last.Load())
	for _, c := range w.pair {
		if tcp, ok := c.(*net.TCPConn); ok {
			quiet = min(quiet, quietFor(tcp, quiet))
		}
	}
	if quiet >= w.limit {
		w.expire()
		return
	}
	// The kernel counts milliseconds (or its ticks): one more, not to come
	// back a moment too early.
	w.timer.Reset(w.limit - quiet + time.Millisecond)
}

// quietFor returns for how long no data has come from the peer or been sent to
// it, tcp(7), or otherwise when the kernel does not say.
func quietFor(c *net.TCPConn, otherwise time.Duration) time.Duration {
	raw, err := c.SyscallConn()
	if err != nil {
		return otherwise
	}
	quiet := otherwise
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			quiet = time.Duration(min(info.Last_data_recv, info.Last_data_sent)) * time.Millisecond
		}
	})
	return quiet
}
