package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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
// whoever created the container; others get an error once it has ended.
func (c *Container) Wait(ctx context.Context) (ExitStatus, error) {
	c.mu.Lock()
	pidfd, exit := c.pidfd, c.exit
	c.mu.Unlock()
	switch {
	case exit != nil:
		return *exit, nil
	case pidfd == nil:
		if err := c.process.wait(ctx); err != nil {
			return ExitStatus{}, wrap("wait for", c.ID(), err)
		}
		return ExitStatus{}, wrap("wait for", c.ID(), errNotChild)
	}
	status, err := waitFD(ctx, pidfd)
	if err != nil {
		return status, wrap("wait for", c.ID(), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exit = &status
	return status, nil
}

// pollable lets the runtime's poller wait for a pidfd, which costs no thread.
// It changes the descriptor's mode before the poller sees it.
func pollable(pidfd *os.File) *os.File {
	defer pidfd.Close()
	fd, err := unix.FcntlInt(pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "pidfd")
}

// waitFD reaps the child of pidfd when it ends.
func waitFD(ctx context.Context, pidfd *os.File) (status ExitStatus, err error) {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return status, err
	}
	stop := context.AfterFunc(ctx, func() { pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			pidfd.SetReadDeadline(time.Time{})
		}
	}()
	var waitErr error
	err = raw.Read(func(fd uintptr) bool {
		var info siginfo
		waitErr = waitid(int(fd), &info)
		if waitErr != nil {
			return true
		}
		status = info.status()
		return info.ended()
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return status, context.Cause(ctx)
	case err != nil:
		return status, err
	}
	return status, waitErr
}

// wait waits for the end of a process that is somebody else's child.
func (p process) wait(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool { return !p.alive() })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// open returns a pidfd that is surely of this process. The error is
// ErrNotRunning when it has ended.
func (p process) open() (int, error) {
	if p.pid == 0 {
		return -1, ErrNotRunning
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return -1, ErrNotRunning
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd_open %d: %w", p.pid, err)
	}
	// Looked at after the descriptor was opened: it cannot be another's.
	if !p.alive() {
		unix.Close(fd)
		return -1, ErrNotRunning
	}
	return fd, nil
}
