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
	// instead is made where the kernel has no such file, or nil.
	instead *setting
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
//
// forgive, where it is not nil, is asked whether to go on without what the host
// has no controller for.
func makePlan(r *specs.LinuxResources, at controllers, forgive func(error) bool) (*plan, error) {
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
	for _, f := range []func(*specs.LinuxResources, controllers) ([]setting, error){memory, cpu, cpuset, pids, blockIO, hugepages, network, rdma, unified} {
		list, err := f(r, at)
		if err != nil && (forgive == nil || !errors.Is(err, ErrNoController) || !forgive(err)) {
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

// refuse names the first resource that is asked for and not applied. Limits of
// kernel memory are passed over, as by all runtimes: since 5.4 it counts as
// memory, and memory.limit is its limit.
func refuse(r *specs.LinuxResources) error {
	if r.Memory != nil && r.Memory.UseHierarchy != nil && !*r.Memory.UseHierarchy {
		return fmt.Errorf("resource memory.useHierarchy false: %w: kernels since 5.11 always count hierarchically; leave it out", ErrUnsupported)
	}
	return nil
}

// where asks at for a controller that resource needs, and explains its absence.
func where(at controllers, controller, resource string) (version, error) {
	return whereEither(at, controller, controller, resource)
}

// whereEither is where, for a controller that has one name on v1 and another on
// v2.
func whereEither(at controllers, controller, second, resource string) (version, error) {
	v, err := at(controller)
	if v == missing && err == nil && second != controller {
		v, err = at(second)
	}
	if errors.Is(err, ErrNoController) {
		err = fmt.Errorf("%s asked for, but %w", resource, err)
	}
	if err != nil || v != missing {
		return v, err
	}
	return missing, fmt.Errorf("%s asked for, but the %s %w: on v1 mount it (mount -t cgroup -o %s cgroup %s/%s), "+
		"on v2 %s must be in %s/cgroup.controllers (kernel command line without cgroup_disable=%s and not taken by a v1 mount); or leave the limit out",
		resource, controller, ErrNoController, controller, mountPoint, controller, second, mountPoint, controller)
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
		switch {
		case err == unix.ENOENT && s.optional:
			return nil
		case err == unix.ENOENT && s.instead != nil:
			return s.instead.write(dir)
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
	case errors.Is(err, unix.ENOENT) && s.instead != nil:
		return fmt.Errorf("%w (this kernel has neither that nor %s: it has no BFQ, by which disks are shared out)", err, s.instead.file)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w (this kernel has no such file)", err)
	case errors.Is(err, unix.ENODEV) && (s.controller == "io" || s.controller == "blkio"):
		return fmt.Errorf("%w (there is no disk of that number; one for a partition is not enough: lsblk lists them)", err)
	case errors.Is(err, unix.EBUSY) && s.controller == "memory":
		return fmt.Errorf("%w (more than that is in use and cannot be reclaimed)", err)
	case errors.Is(err, unix.EINVAL) && s.file == "memory.limit_in_bytes":
		return fmt.Errorf("%w (memory and swap together are limited to less: set memory.swap too)", err)
	case errors.Is(err, unix.EINVAL) && (s.file == "cpu.weight" || s.file == "cpu.shares"):
		return fmt.Errorf("%w (out of range, or the group is idle: set cpu.idle to 0 too)", err)
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
