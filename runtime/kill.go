package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"golang.org/x/sys/unix"
)

// Kill sends a signal to the container's first process, or to all of its
// processes. The error is ErrNotRunning when the process has ended, or all have.
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
	if group, err := c.cgroup(); err == nil && sig == unix.SIGKILL {
		return killGroup(group)
	}
	told := map[int]bool{}
	for range 100 { // not for ever, where one forks all the time
		pids, err := c.Pids()
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return told[pid] })
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
				return fmt.Errorf("process %d: %w", pid, err)
			}
			told[pid] = true
		}
	}
	if len(told) == 0 {
		return ErrNotRunning
	}
	return nil
}

// killGroup kills all in a group, however fast it forks. It waits for the end of
// what it killed, but not for a process that hangs in a device driver.
func killGroup(group *cgroups.Group) error {
	pids, err := group.Procs()
	if errors.Is(err, cgroups.ErrNotExist) || err == nil && len(pids) == 0 {
		return ErrNotRunning
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := group.Kill(ctx); err != nil && !errors.Is(err, cgroups.ErrBusy) {
		return err
	}
	return nil
}

// Pids are the processes of the container, in the caller's pid namespace.
func (c *Container) Pids() ([]int, error) {
	group, err := c.cgroup()
	switch {
	case errors.Is(err, ErrNoCgroup):
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
		return nil, c.noGroup()
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
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
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
