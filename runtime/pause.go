package runtime

import (
	"context"
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// StatePaused is the state of a running container whose processes were stopped
// by Pause. The OCI leaves it to runtimes; runc calls it so too.
const StatePaused specs.ContainerState = "paused"

// ErrPaused tells that a container is paused.
var ErrPaused = errors.New("cannot exec in a paused container")

// Pause stops all processes of the container, which is created or running, until
// Resume. They are told nothing. The error is ErrNotRunning when it has ended.
func (c *Container) Pause(ctx context.Context) error {
	return wrap("pause", c.ID(), c.pause(ctx))
}

func (c *Container) pause(ctx context.Context) error {
	group, err := c.living()
	if err != nil {
		return err
	}
	frozen, err := group.Frozen()
	if err == nil && frozen {
		return fmt.Errorf("%w: it is paused already", ErrNotRunning)
	}
	if err != nil {
		return err
	}
	return group.Freeze(ctx)
}

// Resume lets the processes of a paused container go on.
func (c *Container) Resume() error { return wrap("resume", c.ID(), c.resume()) }

func (c *Container) resume() error {
	group, err := c.living()
	if err != nil {
		return err
	}
	frozen, err := group.Frozen()
	if err == nil && !frozen {
		return errors.New("it is not paused")
	}
	if err != nil {
		return err
	}
	return group.Thaw()
}

// living is the group of a container that has processes.
func (c *Container) living() (*cgroups.Group, error) {
	if !c.process.Alive() {
		return nil, ErrNotRunning
	}
	group, err := c.cgroup()
	if errors.Is(err, ErrNoCgroup) {
		return nil, fmt.Errorf("%w (its processes are in no group of their own)", err)
	}
	return group, err
}

// paused tells whether the processes are stopped.
func (c *Container) paused() bool {
	group, err := c.cgroup()
	if err != nil {
		return false
	}
	frozen, err := group.Frozen()
	return err == nil && frozen
}

// thaw lets a killed process die: on v1 one that is frozen does not.
func (c *Container) thaw() {
	if c.paused() {
		c.group.Thaw()
	}
}

// Update changes the limits of a container that is created, running or paused,
// and leaves it so; what r leaves out stays as it is. See cgroups.Group.Update.
func (c *Container) Update(r *specs.LinuxResources) error {
	group, err := c.living()
	if err == nil {
		if rootless() {
			r = withoutDevices(r)
		}
		err = group.Update(r)
	}
	return wrap("update", c.ID(), err)
}

// Stats are what its processes have used. The error is ErrNotRunning when it has
// ended.
func (c *Container) Stats() (*cgroups.Stats, error) {
	group, err := c.living()
	if err != nil {
		return nil, wrap("read statistics of", c.ID(), err)
	}
	s, err := group.Stat()
	return s, wrap("read statistics of", c.ID(), err)
}

// OOM counts its processes that were killed because of its memory limit. The
// counters are there until Delete.
func (c *Container) OOM() (cgroups.OOM, error) {
	group, err := c.cgroup()
	if errors.Is(err, ErrNoCgroup) || errors.Is(err, cgroups.ErrNotExist) {
		return cgroups.OOM{}, nil
	}
	if err != nil {
		return cgroups.OOM{}, wrap("read statistics of", c.ID(), err)
	}
	o, err := group.OOM()
	return o, wrap("read statistics of", c.ID(), err)
}

// WatchOOM follows its lack of memory, as it happens. The caller closes it.
func (c *Container) WatchOOM() (*cgroups.OOMWatch, error) {
	group, err := c.living()
	if err != nil {
		return nil, wrap("watch", c.ID(), err)
	}
	w, err := group.WatchOOM()
	return w, wrap("watch", c.ID(), err)
}
