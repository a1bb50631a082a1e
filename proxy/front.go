package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Front is one listening address of a proxy.
type Front struct {
	proxy *Proxy
	pool  *Pool
	fd    int32 // closed when no loop watches it any more
	addr  net.Addr
	paced bool           // what is accepted is
	debug bool           // the log wants the end of single connections
	led   netip.AddrPort // what clients connect to, where that is not the socket's

	unwatch  func() // the context and the pool
	stopOnce sync.Once
	gone     chan struct{}  // closed when nothing runs any more
	running  sync.WaitGroup // acceptors and sessions
	watching atomic.Int32   // acceptors
	isCut    atomic.Bool
	anyCut   atomic.Bool

	mu     sync.Mutex // of the listening socket's state
	paused bool
	closed bool

	acceptLog, dialLog, shortLog throttle
}

// start begins to accept in all loops.
func (f *Front) start(ctx context.Context) {
	loops := f.proxy.loops
	f.running.Add(len(loops))
	f.watching.Store(int32(len(loops)))
	for _, l := range loops {
		l.call(func(l *loop) { l.listen(f) })
	}
	unwatch := f.pool.watch(f.endpointsLeft)
	stop := context.AfterFunc(ctx, func() {
		f.stop()
		f.cut()
	})
	f.unwatch = func() { unwatch(); stop() }
}

// endpointsLeft cuts their connections after a while.
func (f *Front) endpointsLeft(left []*member) {
	if d := f.pool.o.DrainTimeout; d > 0 {
		time.AfterFunc(d, func() {
			for _, l := range f.proxy.loopsOf(f) {
				l.call(func(l *loop) { l.cutLeft(f, left) })
			}
		})
	}
}

// unwatched is called by each loop that has ended to accept.
func (f *Front) unwatched() {
	if f.watching.Add(-1) == 0 {
		f.mu.Lock()
		f.closed = true
		closeFD(f.fd)
		f.mu.Unlock()
	}
	f.running.Done()
}

// bury waits for the end of what runs.
func (f *Front) bury() {
	f.running.Wait()
	f.unwatch()
	f.proxy.forget(f)
	close(f.gone)
}

// Addr returns the address that is listened on.
func (f *Front) Addr() net.Addr { return f.addr }

// Done returns a channel that is closed when the front has stopped and its
// connections are gone.
func (f *Front) Done() <-chan struct{} { return f.gone }

// Shutdown stops listening at once, lets open connections finish, cuts those
// that are still open when ctx ends, and returns when all are gone: nil, or
// ctx's error if some were cut.
func (f *Front) Shutdown(ctx context.Context) error {
	f.stop()
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
	}
	f.cut()
	<-f.gone
	if f.anyCut.Load() {
		return context.Cause(ctx)
	}
	return nil
}

// Close stops listening, cuts all connections (both peers see a reset), and
// returns when they are gone.
func (f *Front) Close() error {
	f.stop()
	f.cut()
	<-f.gone
	return nil
}

func (f *Front) stop() {
	f.stopOnce.Do(func() {
		for _, l := range f.proxy.loopsOf(f) {
			l.call(func(l *loop) { l.unlisten(f) })
		}
		go f.bury()
	})
}

// cut ends all sessions, and those that would begin later.
func (f *Front) cut() {
	f.isCut.Store(true)
	for _, l := range f.proxy.loopsOf(f) {
		l.call(func(l *loop) { l.cut(f) })
	}
}

// lost is called when the listening socket cannot be used any more.
func (f *Front) lost(errno unix.Errno) {
	f.proxy.log().Error("listening socket was shut down by others", "listen", f.addr.String(), "error", errno)
	f.stop()
}
