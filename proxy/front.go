package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Pauses after a failed Accept: what is missing (descriptors, memory) comes
// back when connections end.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Front is one listening address of a proxy.
type Front struct {
	proxy    *Proxy
	listener net.Listener
	to       Backends

	ctx     context.Context // ends when connections are to be cut
	cancel  context.CancelFunc
	unwatch func() bool // of the context given to Forward

	stopping chan struct{} // closed when accepting is to end
	stopOnce sync.Once
	gone     chan struct{} // closed when accept loop and sessions have ended

	acceptLog, dialLog throttle

	mu       sync.Mutex
	sessions map[*session]struct{}
	isCut    bool
	running  sync.WaitGroup // accept loop and sessions
}

func newFront(ctx context.Context, p *Proxy, l net.Listener, to Backends) *Front {
	f := &Front{
		proxy:    p,
		listener: l,
		to:       to,
		stopping: make(chan struct{}),
		gone:     make(chan struct{}),
		sessions: map[*session]struct{}{},
	}
	// Not a child of ctx, so that a dial which ctx ends fails with ErrClosed.
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f
}

func (f *Front) start(ctx context.Context) {
	f.running.Add(1)
	f.unwatch = context.AfterFunc(ctx, func() {
		f.stop()
		f.cut()
	})
	go f.serve()
}

// bury waits for the end of what runs.
func (f *Front) bury() {
	f.running.Wait()
	f.unwatch()
	f.cancel()
	f.proxy.forget(f)
	close(f.gone)
}

// Addr returns the address that is listened on.
func (f *Front) Addr() net.Addr { return f.listener.Addr() }

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
	cut := f.cut()
	<-f.gone
	if cut {
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
		close(f.stopping)
		f.listener.Close()
		go f.bury()
	})
}

// cut ends all sessions, and those that would start later; it reports whether
// there was one.
func (f *Front) cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isCut = true
	any := len(f.sessions) > 0
	for s := range f.sessions {
		s.abort(ErrClosed)
	}
	f.cancel()
	return any
}

// serve accepts until the front stops. No error but that of a closed listener
// ends it: a proxy that gave up for want of a descriptor would stay dead.
func (f *Front) serve() {
	defer f.running.Done()
	pause := time.Duration(0)
	for {
		c, err := f.listener.Accept()
		switch {
		case err == nil:
			pause = 0
			if !f.admit(c) {
				return
			}
		case f.stopped():
			return
		case errors.Is(err, net.ErrClosed):
			f.proxy.log().Error("listener was closed by others", "listen", f.Addr().String(), "error", err)
			f.stop()
			return
		default:
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			if n, ok := f.acceptLog.allow(); ok {
				f.proxy.log().Warn("accept failed, trying again", "listen", f.Addr().String(), "error", err, "suppressed", n)
			}
			if !f.sleep(pause) {
				return
			}
		}
	}
}

func (f *Front) stopped() bool {
	select {
	case <-f.stopping:
		return true
	default:
		return false
	}
}

// sleep returns false if the front stopped meanwhile.
func (f *Front) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-f.stopping:
		return false
	}
}

// admit waits for a slot and starts the session. It returns false when the
// front stopped: the client was not served and is reset, like those in the
// kernel's queue.
func (f *Front) admit(client net.Conn) bool {
	if slots := f.proxy.slots; slots != nil {
		select {
		case slots <- struct{}{}:
		case <-f.stopping:
			reset(client)
			return false
		}
	}
	s := &session{front: f, client: client, info: Connection{
		Listener: f.listener.Addr(),
		Client:   client.RemoteAddr(),
		Start:    time.Now(),
	}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isCut {
		reset(client)
		f.free()
		return false
	}
	f.sessions[s] = struct{}{}
	f.running.Add(1)
	go s.run()
	return true
}

// free gives a slot back.
func (f *Front) free() {
	if slots := f.proxy.slots; slots != nil {
		<-slots
	}
}

func (f *Front) remove(s *session) {
	f.mu.Lock()
	delete(f.sessions, s)
	f.mu.Unlock()
	f.free()
	f.running.Done()
}
