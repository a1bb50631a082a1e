package runtime

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/kernel"
	"golang.org/x/sys/unix"
)

// ErrNoCgroup tells that a container has none, since its maker could make none, or, an
// ordinary user, wanted no limits: it cannot be paused, limited or measured.
var ErrNoCgroup = errors.New("the container has no cgroup")

const notDelegated = "none was delegated to the user who made it, without limits"

// noGroup says why this container has none.
func (c *Container) noGroup() error {
	if c.record.NoCgroup == "" {
		return fmt.Errorf("%w: %s", ErrNoCgroup, notDelegated)
	}
	return fmt.Errorf("%w: where it was made: %s", ErrNoCgroup, c.record.NoCgroup)
}

// findGroup decides on the container's cgroup: "" where it has none, which may be so
// for ordinary users, and for root where the hierarchies cannot be written, as
// inside of most containers. Limits are refused there.
func (c *plan) findGroup(root, id string) error {
	if rootless() {
		return c.findUserGroup(root, id)
	}
	c.group = cgroupPath(c.spec, root, id)
	if !c.real || cgroups.IsScope(c.group) {
		return nil
	}
	cause := cgroups.Usable(c.group)
	if cause == nil {
		return nil
	}
	if kernel.InUserNamespace() { // whose root is an ordinary user outside
		c.group = ""
		err := c.findUserGroup(root, id)
		if c.group == "" {
			c.noGroup = cause
		}
		return err
	}
	err := needsNoGroup(c.spec.Linux.Resources, fmt.Errorf("linux.resources: limits need a cgroup: %w; or leave the limits out", cause))
	if err == nil && !c.ownPids() {
		err = fmt.Errorf("linux.namespaces: without a pid namespace of its own, only a cgroup tells the container's processes: %w; or add one", cause)
	}
	c.group, c.noGroup = "", cause
	return err
}

// ownPids: the processes can be told from the host's without a cgroup.
func (c *plan) ownPids() bool {
	return slices.ContainsFunc(c.spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.PIDNamespace })
}

// needsNoGroup is err where there are limits, which nothing would enforce. Rules
// for devices are none of these: without CAP_MKNOD, or in a user namespace,
// nobody can make a device.
func needsNoGroup(r *specs.LinuxResources, err error) error {
	if r == nil {
		return nil
	}
	rest := *r
	rest.Devices = nil
	if reflect.ValueOf(rest).IsZero() {
		return nil
	}
	return err
}

// tellNoGroup warns of what the container does without.
func (r *Runtime) tellNoGroup(cause error, id string) {
	r.log().Warn("the container has no cgroup: it cannot be paused, limited or measured, and rules for devices are not enforced",
		"id", id, "cause", cause)
}

// restrict takes from the container's process what only a cgroup would hold in
// bounds, where it has none.
func (r *Runtime) restrict(p *plan, id string) {
	if p.noGroup == nil {
		return
	}
	if kernel.InUserNamespace() {
		// In one the kernel itself refuses devices; and an engine without root
		// expects no group, so that this is no news.
		r.log().Debug("the container has no cgroup", "id", id, "cause", p.noGroup)
		return
	}
	r.tellNoGroup(p.noGroup, id)
	caps := p.id.caps.withoutDevices()
	if p.members.user() || caps == p.id.caps {
		return
	}
	r.log().Warn("CAP_MKNOD is not given: without a cgroup nothing would restrict the devices that it makes", "id", id)
	p.id.caps = caps
}

// withoutDevices takes the right to make devices away where no cgroup says
// which of them may be opened.
func (c capabilities) withoutDevices() capabilities { return c.within(^(uint64(1) << unix.CAP_MKNOD)) }

// causeText is for the record: "" where there is a cgroup.
func causeText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
