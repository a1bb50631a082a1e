package proxy

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parking is how a loop waits for long: as a goroutine in Go's poller, so that
// Go knows at once that its place is free. A system call that blocks would keep
// Go's monitor awake for 10 ms before it took the place away, at each wait. Go's
// poller watches an epoll instance that has the loop's own one only meanwhile: it
// is not disturbed while the loop looks itself.
type parking struct {
	door *os.File // an epoll instance
	conn syscall.RawConn
}

func newParking() (p parking, err error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return p, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what makes os take it for Go's poller
		unix.Close(fd)
		return p, err
	}
	p.door = os.NewFile(uintptr(fd), "event loop")
	if err = p.door.SetReadDeadline(time.Time{}); err == nil {
		p.conn, err = p.door.SyscallConn()
	}
	if err != nil {
		p.door.Close()
	}
	return p, err
}

// park waits for events or a timer.
func (l *loop) park() (n int) {
	if l.control(unix.EPOLL_CTL_ADD) != 0 {
		return l.block()
	}
	if len(l.timers) > 0 {
		l.door.SetReadDeadline(time.Now().Add(time.Duration(l.timers[0].when - l.clock())))
		defer l.door.SetReadDeadline(time.Time{})
	}
	l.conn.Read(func(uintptr) bool {
		n, _ = epollLook(l.ep, l.events[:], 0, &l.wait)
		return n > 0
	})
	l.control(unix.EPOLL_CTL_DEL)
	// The thread that saw the events for Go runs this loop now, maybe for
	// long: let another one look for everybody else.
	runtime.Gosched()
	return max(n, 0)
}

// control lets Go's poller see this loop's events, or not any more.
func (l *loop) control(op int) (errno unix.Errno) {
	l.event = unix.EpollEvent{Events: unix.EPOLLIN}
	l.conn.Control(func(door uintptr) {
		errno = epollControl(int32(door), op, l.ep, &l.event)
	})
	return errno
}
