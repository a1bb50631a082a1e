package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// version is the kind of hierarchy that has a controller on this host.
type version int

const (
	missing version = iota
	one
	two
)

// setting is one value for one interface file of a group.
type setting struct {
	controller string
	version    version
	file       string
	value      string
	// either: this setting and the next may have to be made in the other
	// order (a limit that must not exceed another one while both change).
	either bool
	// optional: the kernel may be built without the file, and the value
	// means the same as its absence.
	optional bool
}

// plan is what New and Update do: pure data, made before anything is touched.
type plan struct {
	settings []setting
	enable   []string // controllers that v2 must have switched on
	devices  *deviceRules
}

// controllers tells where each controller is; New asks the host, tests don't.
type controllers func(name string) (version, error)

// makePlan translates the OCI resources. What peapod does not apply is
// refused, never ignored. r may be nil.
func makePlan(r *specs.LinuxResources, at controllers) (*plan, error) {
	p := &plan{}
	if r == nil {
		return p, nil
	}
	if err := refuse(r); err != nil {
		return nil, err
	}
	var err error
	if p.devices, err = parseDevices(r.Devices); err != nil {
		return nil, err
	}
	for _, f := range []func(*specs.LinuxResources, controllers) ([]setting, error){memory, cpu, cpuset, pids, unified} {
		list, err := f(r, at)
		if err != nil {
			return nil, err
		}
		p.settings = append(p.settings, list...)
	}
	p.enable = needed(p.settings)
	return p, nil
}

// needed lists the controllers of v2 that settings want, each once.
func needed(settings []setting) []string {
	var list []string
	for _, s := range settings {
		if s.version == two && s.controller != "cgroup" && !slices.Contains(list, s.controller) {
			list = append(list, s.controller)
		}
	}
	return list
}

// refuse names the first resource that is asked for and not applied.
func refuse(r *specs.LinuxResources) error {
	name, why := "", "peapod does not apply it yet; leave it out"
	switch b := r.BlockIO; {
	case b != nil && (b.Weight != nil || b.LeafWeight != nil || len(b.WeightDevice) > 0 ||
		len(b.ThrottleReadBpsDevice)+len(b.ThrottleWriteBpsDevice)+len(b.ThrottleReadIOPSDevice)+len(b.ThrottleWriteIOPSDevice) > 0):
		name = "blockIO"
		why += `, or give io.* in "unified" on cgroup v2`
	case len(r.HugepageLimits) > 0:
		name = "hugepageLimits"
		why += `, or give hugetlb.* in "unified" on cgroup v2`
	case r.Network != nil && (r.Network.ClassID != nil || len(r.Network.Priorities) > 0):
		name = "network"
	case len(r.Rdma) > 0:
		name = "rdma"
		why += `, or give rdma.max in "unified" on cgroup v2`
	case r.CPU != nil && (r.CPU.RealtimeRuntime != nil || r.CPU.RealtimePeriod != nil):
		name = "cpu.realtimeRuntime and cpu.realtimePeriod"
	//lint:ignore SA1019 deprecated fields are refused, not used
	case r.Memory != nil && (r.Memory.Kernel != nil || r.Memory.KernelTCP != nil):
		name, why = "memory.kernel and memory.kernelTCP", "kernels since 5.4 count kernel memory in memory.limit; leave it out"
	case r.Memory != nil && r.Memory.UseHierarchy != nil && !*r.Memory.UseHierarchy:
		name, why = "memory.useHierarchy false", "kernels since 5.11 always count hierarchically; leave it out"
	default:
		return nil
	}
	return fmt.Errorf("resource %s: %w: %s", name, ErrUnsupported, why)
}

// where asks at for a controller that resource needs, and explains its absence.
func where(at controllers, controller, resource string) (version, error) {
	v, err := at(controller)
	if err != nil || v != missing {
		return v, err
	}
	return missing, fmt.Errorf("%s asked for, but the %s %w: on v1 mount it (mount -t cgroup -o %s cgroup %s/%s), "+
		"on v2 it must be in %s/cgroup.controllers (kernel command line without cgroup_disable=%s and not taken by a v1 mount); or leave the limit out",
		resource, controller, ErrNoController, controller, mountPoint, controller, mountPoint, controller)
}

// apply makes the settings in the directories that dir gives.
func apply(settings []setting, dir func(*setting) string) error {
	for i := 0; i < len(settings); i++ {
		s := &settings[i]
		err := s.write(dir(s))
		if s.either && errors.Is(err, unix.EINVAL) && i+1 < len(settings) {
			if settings[i+1].write(dir(s)) == nil {
				if err = s.write(dir(s)); err == nil {
					i++
				}
			}
		}
		if err != nil {
			return &step{fmt.Sprintf("set %s to %s", s.file, s.value), explain(s, err)}
		}
	}
	return nil
}

// write makes one setting. Each line of the value is a call of its own: that
// is how the kernel takes files with several keys (io.max).
func (s *setting) write(dir string) error {
	for line := range strings.SplitSeq(s.value, "\n") {
		err := writeFile(dir+"/"+s.file, line)
		if err == unix.ENOENT && s.optional {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explain adds what the kernel means by refusing a value.
func explain(s *setting, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w (this kernel has no such file)", err)
	case errors.Is(err, unix.EBUSY) && s.controller == "memory":
		return fmt.Errorf("%w (more than that is in use and cannot be reclaimed)", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return fmt.Errorf("%w (out of range, or more than the parent group has)", err)
	}
	return hint(err)
}

// step is an error that knows what was being done; the group adds its path.
type step struct {
	op  string
	err error
}

func (s *step) Error() string { return s.op + ": " + s.err.Error() }
func (s *step) Unwrap() error { return s.err }
