package proxy

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mostWaiting are the clients that wait to be accepted at most; the kernel takes
// less where net.core.somaxconn says so.
const mostWaiting = 1<<16 - 1

// Pause has new clients refused, as where nobody listens, until Resume is called.
// The address stays the front's, and connections that are open go on. A client
// that was accepted by the kernel, and not by the proxy yet, is reset.
func (f *Front) Pause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.paused {
		return nil
	}
	f.paused = true
	if err := stopListening(int(f.fd)); err != nil {
		f.paused = false
		return fmt.Errorf("refuse clients at %s: %w", f.addr, err)
	}
	return nil
}

func stopListening(fd int) error {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		return os.NewSyscallError("shutdown", err)
	}
	// A port that the kernel had chosen is given up now; others are not (EINVAL).
	if err := unix.Bind(fd, name); err != nil && err != unix.EINVAL {
		return os.NewSyscallError("bind", err)
	}
	// Or else somebody could take the port who asks for that, as most servers do:
	// it is free for reuse while nobody listens.
	return os.NewSyscallError("setsockopt SO_REUSEADDR", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
}

// Resume accepts clients again. After an error the front is still paused.
func (f *Front) Resume() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || !f.paused {
		return nil
	}
	err := os.NewSyscallError("setsockopt SO_REUSEADDR", unix.SetsockoptInt(int(f.fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(int(f.fd), mostWaiting))
	}
	if err != nil {
		return fmt.Errorf("accept clients at %s again: %w", f.addr, err)
	}
	f.paused = false
	for _, l := range f.proxy.loopsOf(f) {
		l.call(func(l *loop) { l.resumeFront(f) })
	}
	return nil
}

// listens tells whether clients are accepted, or will be again.
func (f *Front) listens() (now, later bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	on, err := unix.GetsockoptInt(int(f.fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on == 1, f.paused
}

// notListening is called when accept(2) says so.
func (l *loop) notListening(a *acceptor) {
	l.suspend(a)
	switch now, later := a.front.listens(); {
	case now: // again
		l.resume(a)
	case !later:
		a.front.lost(unix.EINVAL)
	}
}

func (l *loop) resumeFront(f *Front) {
	for _, a := range l.acceptors {
		if a != nil && a.front == f && a.timer.pos == 0 && !a.full {
			l.resume(a)
		}
	}
}
