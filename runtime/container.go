package runtime

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/proc"
)

// Container is a container that was created here or found by Load.
type Container struct {
	runtime *Runtime
	dir     string
	record  record
	process proc.ID

	child  *child        // nil where it was started elsewhere
	notify *net.UnixConn // bound by Run, until NotifySocket gives it away

	mu    sync.Mutex
	group *cgroups.Group // once it is needed
	execs []*child       // by Exec, and not seen to end yet
}

// ID is the container's name.
func (c *Container) ID() string { return c.record.ID }

// Bundle is the directory that the container was created from.
func (c *Container) Bundle() string { return c.record.Bundle }

// Rootfs is the absolute path of its image on the host.
func (c *Container) Rootfs() string { return c.record.Rootfs }

// Created is when it was created.
func (c *Container) Created() time.Time { return c.record.Created }

// Owner is the name of the user who created it.
func (c *Container) Owner() string { return c.record.Owner }

// Spec is what the state keeps of the configuration: Process, Hostname,
// Annotations, Linux.Namespaces and Linux.CgroupsPath.
func (c *Container) Spec() *specs.Spec {
	return &specs.Spec{
		Version: c.record.OCIVersion, Process: c.record.Process, Hostname: c.record.Hostname,
		Annotations: c.record.Annotations,
		Linux:       &specs.Linux{Namespaces: c.record.Namespaces, CgroupsPath: c.record.Cgroup},
	}
}

// CgroupPath is its control group, below the hierarchies' roots.
func (c *Container) CgroupPath() string { return c.record.Cgroup }

// Pid is its first process's, or 0 when that has ended.
func (c *Container) Pid() int {
	if !c.process.Alive() {
		return 0
	}
	return c.process.PID
}

// Status is what the container's process does now.
func (c *Container) Status() specs.ContainerState {
	switch {
	case c.process.PID == 0:
		return specs.StateCreating
	case !c.process.Alive():
		return specs.StateStopped
	case c.waiting():
		return specs.StateCreated
	case c.paused():
		return StatePaused
	}
	return specs.StateRunning
}

// waiting tells whether Start has yet to come.
func (c *Container) waiting() bool {
	_, err := os.Lstat(filepath.Join(c.dir, startFIFO))
	return err == nil
}

// State is the container's state as the specification has it (runtime-spec,
// "State").
func (c *Container) State() *specs.State {
	return &specs.State{
		Version:     c.record.OCIVersion,
		ID:          c.record.ID,
		Status:      c.Status(),
		Pid:         c.Pid(),
		Bundle:      c.record.Bundle,
		Annotations: c.record.Annotations,
	}
}

// owner is the caller's name, or its number where that has none.
func owner() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
