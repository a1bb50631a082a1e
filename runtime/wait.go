package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/peapod/peapod/internal/proc"
	"golang.org/x/sys/unix"
)

// ExitStatus is how a process ended: with a code, or by a signal.
type ExitStatus struct {
	Code   int
	Signal unix.Signal // 0 where it exited by itself
}

// ExitCode is the status as shells return it: the code, or 128 and the signal.
func (e ExitStatus) ExitCode() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (e ExitStatus) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("signal %d (%s)", int(e.Signal), unix.SignalName(e.Signal))
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// errNotChild tells that only the process that started another one learns its
// exit status.
var errNotChild = errors.New("the exit status is known to the container's creator only")

// Wait waits for the end of the container's process. The status is known to
// whoever created the container; others get an error once it has ended. Any
// number of goroutines may wait.
func (c *Container) Wait(ctx context.Context) (ExitStatus, error) {
	if c.child != nil {
		status, err := c.child.wait(ctx)
		return status, wrap("wait for", c.ID(), err)
	}
	if err := waitProcess(ctx, c.process); err != nil {
		return ExitStatus{}, wrap("wait for", c.ID(), err)
	}
	return ExitStatus{}, wrap("wait for", c.ID(), errNotChild)
}

// child is a process that was started here. It is reaped once, by whoever
// notices its end first.
type child struct {
	mu    sync.Mutex
	pidfd *os.File // nil once it is of no use
	exit  *ExitStatus
}

// wait waits for the end on a duplicate of the pidfd: a deadline is one of the
// os.File, and each who waits has its own.
func (c *child) wait(ctx context.Context) (ExitStatus, error) {
	watch, err := c.watch()
	if err != nil {
		return ExitStatus{}, err
	}
	if watch != nil {
		defer watch.Close()
		if err := until(ctx, watch, func() (bool, error) { return c.reap() }); err != nil {
			return ExitStatus{}, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.exit, nil
}

// watch returns a descriptor for the poller, or nil when the end is known.
func (c *child) watch() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.exit != nil:
		return nil, nil
	case c.pidfd == nil:
		return nil, os.ErrClosed
	}
	fd, err := unix.FcntlInt(c.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the pidfd: %w", err)
	}
	unix.SetNonblock(fd, true) // else the poller does not take it
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// reap reaps the process if it has ended, and says so.
func (c *child) reap() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.exit != nil:
		return true, nil
	case c.pidfd == nil:
		return false, os.ErrClosed
	}
	var info siginfo
	if err := waitid(int(c.pidfd.Fd()), &info); err != nil {
		return false, err
	}
	if !info.ended() {
		return false, nil
	}
	status := info.status()
	c.exit = &status
	return true, nil
}

// ended tells whether it was reaped.
func (c *child) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit != nil
}

// signal sends sig. The error is ErrNotRunning when the process was reaped.
func (c *child) signal(sig unix.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd == nil || c.exit != nil {
		return ErrNotRunning
	}
	err := unix.PidfdSendSignal(int(c.pidfd.Fd()), sig, nil, 0)
	if err == unix.ESRCH {
		return ErrNotRunning
	}
	return err
}

// close gives the pidfd up. A process that has ended is reaped before.
func (c *child) close() {
	c.reap()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd != nil {
		c.pidfd.Close()
		c.pidfd = nil
	}
}

// until asks done each time that file can be read, which costs no thread. It
// may be used once for a file.
func until(ctx context.Context, file *os.File, done func() (bool, error)) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	err = raw.Read(func(uintptr) (ended bool) {
		ended, failed = done()
		return ended || failed != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return failed
}

// waitProcess waits for the end of a process that is somebody else's child.
func waitProcess(ctx context.Context, id proc.ID) error {
	fd, err := openProcess(id)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	return until(ctx, f, func() (bool, error) { return !id.Alive(), nil })
}

// openProcess returns a pidfd, or ErrNotRunning.
func openProcess(id proc.ID) (int, error) {
	fd, err := id.Open()
	if errors.Is(err, proc.ErrEnded) {
		err = ErrNotRunning
	}
	return fd, err
}
