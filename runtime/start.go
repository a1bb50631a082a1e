package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// Start lets a created container execute its command. The error is a
// *CommandError when that could not be executed; the container has stopped
// then.
func (c *Container) Start(ctx context.Context) error {
	return wrap("start", c.ID(), c.start(ctx))
}

func (c *Container) start(ctx context.Context) error {
	switch status := c.Status(); status {
	case specs.StateCreated:
	case specs.StateStopped:
		return fmt.Errorf("%w: cannot start a container that has stopped: delete it and create it anew", ErrNotRunning)
	default:
		return fmt.Errorf("%w: it is %s: cannot start an already running container", ErrNotCreated, status)
	}
	report, err := openFIFO(filepath.Join(c.dir, reportFIFO), unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer report.Close()
	// Who removes the FIFO starts the container; two cannot. It is opened
	// before.
	path := filepath.Join(c.dir, startFIFO)
	begin, err := openFIFO(path, unix.O_WRONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%w: its process has ended", ErrNotRunning)
	}
	if err != nil {
		return err
	}
	defer begin.Close()
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: somebody else has started it", ErrNotCreated)
	} else if err != nil {
		return err
	}
	if _, err := begin.Write([]byte{0}); err != nil {
		return err
	}
	err = c.executed(ctx, report, begin)
	var failed *agentError
	if errors.As(err, &failed) {
		c.killFirst() // it waits for what will not come
	}
	return err
}

// killFirst kills the container's process.
func (c *Container) killFirst() {
	if pidfd, err := openProcess(c.process); err == nil {
		unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		unix.Close(pidfd)
	}
}

// agentError is that a seccomp agent did not get its listener.
type agentError struct{ error }

func (e *agentError) Unwrap() error { return e.error }

// messages reads what comes through the report FIFO to its end, and hands the
// seccomp listener on that may be announced there; answers is written to then.
func (c *Container) messages(report io.Reader, answers *os.File) (all []byte, err error) {
	for {
		message, value, err := program.ReadMessage(report)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, message...)
		if value == 0 || c.record.Seccomp == nil || c.record.Seccomp.Agent == nil {
			continue
		}
		if err := c.handListener(int(value), answers); err != nil {
			return all, &agentError{err}
		}
	}
}

// handListener hands the listener n of the container's process to its agent.
func (c *Container) handListener(n int, answers *os.File) error {
	pidfd, err := openProcess(c.process)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if err := c.record.Seccomp.Agent.hand(pidfd, n, c, c.process.PID, specs.StateCreated); err != nil {
		return err
	}
	_, err = answers.Write([]byte{0})
	return err
}

// executed reads from the report FIFO whether the command was executed.
func (c *Container) executed(ctx context.Context, report, answers *os.File) error {
	stop := context.AfterFunc(ctx, func() { report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	messages, err := c.messages(report, answers)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	os.Remove(report.Name())
	failure, executing := program.LastMessage(messages)
	steps := filepath.Join(c.dir, stepsFile)
	if failure != nil && !executing {
		// The program's maker may be gone: what it called its steps is there.
		if names, err := readWhole(steps); err == nil {
			if named := program.Explain(messages, names); named != nil {
				failure = named
			}
		}
	}
	os.Remove(steps)
	var errno unix.Errno
	switch {
	case errors.As(failure, &errno) && executing:
		return newCommandError(errno, c.record.Process, c.record.image())
	case failure != nil:
		return fmt.Errorf("set the process up: %w", hookError(failure, c.record.Hooks, nil))
	case !executing:
		return program.ErrDied
	}
	return c.poststart(ctx)
}
