package runtime

import (
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// expandCgroupMounts replaces a mount of type cgroup by what the host has:
// cgroup2 alone, or a tmpfs with a mount for each hierarchy of v1. binds tells
// that group's directories are among the sources.
func expandCgroupMounts(spec *specs.Spec, group string) (list []specs.Mount, binds bool, err error) {
	// A cgroup namespace hides what is above the container's group.
	own := false
	for _, ns := range spec.Linux.Namespaces {
		own = own || ns.Type == specs.CgroupNamespace
	}
	for i, m := range spec.Mounts {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			list = append(list, m)
			continue
		}
		expanded, err := cgroupMount(m, group, own)
		if err != nil {
			return nil, false, fmt.Errorf("mounts[%d] (%s): %w", i, m.Destination, err)
		}
		list, binds = append(list, expanded...), !own
	}
	return list, binds, nil
}

func cgroupMount(m specs.Mount, group string, own bool) ([]specs.Mount, error) {
	hierarchies, err := cgroups.Hierarchies()
	if err != nil {
		return nil, err
	}
	// one is the mount of a hierarchy on target.
	one := func(h cgroups.Hierarchy, target string) specs.Mount {
		if !own {
			return specs.Mount{Destination: target, Type: "bind", Source: h.Dir + group, Options: append([]string{"bind"}, m.Options...)}
		}
		if h.Unified {
			return specs.Mount{Destination: target, Type: "cgroup2", Source: "cgroup", Options: m.Options}
		}
		return specs.Mount{Destination: target, Type: "cgroup", Source: "cgroup", Options: append(append([]string{}, m.Options...), h.Options...)}
	}
	if len(hierarchies) == 1 && hierarchies[0].Unified {
		return []specs.Mount{one(hierarchies[0], m.Destination)}, nil
	}
	list := []specs.Mount{{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: append([]string{"mode=755"}, m.Options...)}}
	for _, h := range hierarchies {
		list = append(list, one(h, path.Join(m.Destination, h.Name)))
	}
	return list, nil
}
