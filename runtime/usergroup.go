package runtime

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// findUserGroup decides on the cgroup of an ordinary user's container: where linux.
// cgroupsPath says, below a group that is delegated to the user, or, with limits, in a
// scope of their own systemd. Without limits it may have none.
func (c *plan) findUserGroup(root, id string) (err error) {
	linux := *c.spec.Linux
	linux.Resources = withoutDevices(linux.Resources)
	c.spec.Linux = &linux
	if !c.real {
		return nil
	}
	limits := needsNoGroup(c.spec.Linux.Resources, ErrNoCgroup) != nil
	path := c.spec.Linux.CgroupsPath
	switch {
	case cgroups.IsScope(path):
	case path != "":
		path = cgroupPath(c.spec, root, id)
		if err = cgroups.Usable(path); err == nil && attaches(path) {
			err = cgroups.Attachable(path)
		}
	default:
		var home cgroups.Home
		if home, err = cgroups.FindHome(limits); err == nil {
			path = home.Group(groupName(root, id, home.Scope()))
		}
	}
	if err == nil {
		c.group = path
		if !limits {
			return nil
		}
		if err = cgroups.Check(path, c.spec.Linux.Resources); err != nil {
			return fmt.Errorf("linux.resources: %w", err)
		}
		return nil
	}
	return needsNoGroup(c.spec.Linux.Resources, fmt.Errorf("linux.resources: limits need a cgroup: %w; or leave them out, or run it with sudo", err))
}

// withoutDevices leaves the rules for devices out, which only root can have enforced:
// in a user namespace the kernel lets nobody make a device.
func withoutDevices(r *specs.LinuxResources) *specs.LinuxResources {
	if r == nil || r.Devices == nil {
		return r
	}
	changed := *r
	changed.Devices = nil
	return &changed
}

// attaches tells whether the container's process has to be moved into its cgroup, since
// it cannot be born there.
func attaches(group string) bool { return group != "" && !cgroups.Reaches(group) }

// syncGroup is the first message of a program whose process is to be moved.
const syncGroup = "cgroup"
