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
		return fmt.Errorf("%w: its process has ended: delete it and create it anew", ErrNotRunning)
	default:
		return fmt.Errorf("%w: it is %s", ErrNotCreated, status)
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
	return c.executed(ctx, report)
}

// executed reads from the report FIFO whether the command was executed.
func (c *Container) executed(ctx context.Context, report *os.File) error {
	stop := context.AfterFunc(ctx, func() { report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	messages, err := io.ReadAll(report)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	os.Remove(report.Name())
	failure, executing := program.LastMessage(messages)
	var errno unix.Errno
	switch {
	case errors.As(failure, &errno) && executing:
		return newCommandError(errno, c.record.Process, c.record.Rootfs, c.record.Mounts)
	case failure != nil:
		return fmt.Errorf("set the process up: %w", hookError(failure, c.record.Hooks, nil))
	case !executing:
		return program.ErrDied
	}
	return c.poststart(ctx)
}
