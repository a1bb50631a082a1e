package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"golang.org/x/sys/unix"
)

// Kill sends a signal to the container's first process, or to all of its
// processes. The error is ErrNotRunning when the process has ended.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if all {
		return wrap("kill", c.ID(), c.killAll(sig))
	}
	fd, err := openProcess(c.process)
	if err != nil {
		return wrap("kill", c.ID(), err)
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if err == unix.ESRCH {
		err = ErrNotRunning
	}
	if err == nil && sig == unix.SIGKILL {
		c.thaw()
	}
	return wrap("kill", c.ID(), err)
}

func (c *Container) killAll(sig unix.Signal) error {
	pids, err := c.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	if sig == unix.SIGKILL {
		c.thaw()
	}
	return nil
}

// Pids are the processes of the container, in the caller's pid namespace.
func (c *Container) Pids() ([]int, error) {
	group, err := c.cgroup()
	switch {
	case errors.Is(err, errNoGroup):
		return c.members()
	case errors.Is(err, cgroups.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return group.Procs()
}

// cgroup is the container's, wherever it was made.
func (c *Container) cgroup() (*cgroups.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.record.Cgroup == "" {
		return nil, errNoGroup
	}
	if c.group == nil {
		group, err := cgroups.Load(c.record.Cgroup)
		if err != nil {
			return nil, err
		}
		c.group = group
	}
	return c.group, nil
}

// Delete removes a stopped container: its cgroup and its directory. With force
// it is killed first; ErrNotStopped is the error otherwise. What was left
// behind by a command that was killed is removed too.
func (c *Container) Delete(ctx context.Context, force bool) error {
	return wrap("delete", c.ID(), c.delete(ctx, force))
}

func (c *Container) delete(ctx context.Context, force bool) error {
	status := c.Status()
	switch {
	case status == specs.StateStopped:
	case !force:
		return fmt.Errorf("%w: it is %s: kill it first, or force the deletion", ErrNotStopped, status)
	case c.process.PID != 0:
		if err := c.end(ctx); err != nil {
			return err
		}
	}
	if c.record.Cgroup != "" {
		if err := c.removeGroup(ctx); err != nil {
			return err
		}
	}
	if c.child != nil {
		c.child.close()
	}
	c.leaveClass()
	err := c.unregister()
	c.poststop(ctx)
	return err
}

// unregister removes the container's directory.
func (c *Container) unregister() error {
	// Its usual content is known, which saves reading it.
	unix.Unlink(filepath.Join(c.dir, stateFile))
	unix.Unlink(filepath.Join(c.dir, pidFile))
	if unix.Rmdir(c.dir) == nil {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// end kills the first process, waits for its end, and reaps it if it is ours.
func (c *Container) end(ctx context.Context) error {
	if err := c.Kill(unix.SIGKILL, false); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c.mu.Lock()
	for _, p := range c.execs {
		go p.wait(ctx)
	}
	c.mu.Unlock()
	if c.child != nil {
		_, err := c.child.wait(ctx)
		return err
	}
	return waitProcess(ctx, c.process)
}

func (c *Container) removeGroup(ctx context.Context) error {
	group, err := c.cgroup()
	if errors.Is(err, cgroups.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return group.Destroy(ctx)
}
