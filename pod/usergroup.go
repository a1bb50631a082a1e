package pod

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/cgroups"
)

// findHome looks for a place for the cgroups of an ordinary user's pod, before anything
// is made; nil where it is to have none, which is an error with limits alone.
func (p *Pod) findHome(resolved []*Resolved) (*cgroups.Home, error) {
	if !rootless() {
		return nil, nil
	}
	var limited []int
	for i, r := range resolved {
		if limits := r.Container.Resources.Limits; !limits.CPU.IsZero() || !limits.Memory.IsZero() {
			limited = append(limited, i)
		}
	}
	home, err := cgroups.FindHome(len(limited) > 0)
	if err != nil && len(limited) == 0 {
		return nil, nil
	}
	ps := &problems{object: p, pod: p}
	for _, i := range limited {
		at := containerPath(i) + ".resources.limits"
		if err != nil {
			ps.addf(at, "limits need a cgroup: %w; or leave them out, or run the pod with sudo", err)
			continue
		}
		if err := cgroups.Check(home.Group(p.Metadata.Name), Resources{Limits: resolved[i].Container.Resources.Limits}.Linux()); err != nil {
			ps.addf(at, "%w", err)
		}
	}
	return &home, ps.errs.Err()
}

// makeGroup makes the cgroup of an ordinary user's pod, and notes where: others cannot
// know that. Root's are made with the first container's.
func (s *Supervisor) makeGroup() error {
	if s.home == nil {
		if rootless() {
			s.place.group = "" // an earlier pod of the place may have had one
		}
		return nil
	}
	name := uniqueName(s.store.root(), s.place.name)
	if s.home.Scope() {
		name += ".pod"
	}
	s.place.group = s.home.Group(name)
	if err := os.WriteFile(s.place.cgroupFile(), []byte(s.place.group+"\n"), 0o600); err != nil {
		return err
	}
	group, err := cgroups.New(s.place.group, nil)
	if err != nil {
		return err
	}
	s.group = group
	return group.Share()
}

// dropGroup removes it, with the process that keeps a scope, which is this one's child.
func (s *Supervisor) dropGroup(ctx context.Context) error {
	if s.group == nil {
		return nil
	}
	return s.group.Destroy(ctx)
}

// notedGroup reads where the cgroup of a pod is.
func (p place) notedGroup() string {
	data, err := os.ReadFile(p.cgroupFile())
	text, whole := strings.CutSuffix(string(data), "\n")
	if err != nil || !whole {
		return ""
	}
	return text
}

// removeGroup removes a pod's cgroup with all that is in it.
func (p place) removeGroup(ctx context.Context) error {
	if p.group == "" {
		return nil
	}
	group, err := cgroups.Load(p.group)
	if errors.Is(err, cgroups.ErrNotExist) || errors.Is(err, cgroups.ErrNotMounted) {
		err = nil
	} else if err == nil {
		err = group.Destroy(ctx)
	}
	if err == nil && rootless() {
		if err = os.Remove(p.cgroupFile()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return err
}

// groupOf is the path of a container's cgroup, "" where it has none.
func (p place) groupOf(container string) string {
	if p.group == "" {
		return ""
	}
	path, err := cgroups.Place(p.group)
	if err != nil {
		return ""
	}
	return path + "/" + container
}

// userResources are what an ordinary user's container gets of them: weights where they
// can be had, and no rules for devices, which nobody can make there.
func (s *Supervisor) userResources(r *specs.LinuxResources) *specs.LinuxResources {
	if s.place.group == "" {
		return nil
	}
	own := *r
	own.Devices = nil
	if own.CPU != nil && own.CPU.Shares != nil && errors.Is(cgroups.Check(s.place.group, &own), cgroups.ErrNoController) {
		cpu := *own.CPU
		cpu.Shares = nil
		own.CPU = &cpu
	}
	return &own
}
