package runtime

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// expandCgroupMounts replaces a mount of type cgroup by what the host has:
// cgroup2 alone, or a tmpfs with a mount for each hierarchy of v1.
func (c *plan) expandCgroupMounts(group string) error {
	// A cgroup namespace hides what is above the container's group.
	own := false
	for _, ns := range c.spec.Linux.Namespaces {
		own = own || ns.Type == specs.CgroupNamespace
	}
	var list []specs.Mount
	for i, m := range c.spec.Mounts {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			list = append(list, m)
			continue
		}
		if c.noGroup != nil {
			list = append(list, noCgroupMount(m))
			continue
		}
		hierarchies, err := cgroups.Hierarchies()
		if err != nil {
			return fmt.Errorf("mounts[%d] (%s): %w", i, m.Destination, err)
		}
		list, c.bindsGroup = append(list, cgroupMount(m, hierarchies, group, own)...), !own
		c.rootfs.Links = append(c.rootfs.Links, cgroupLinks(m.Destination, hierarchies)...)
	}
	c.spec.Mounts = list
	return nil
}

// noCgroupMount is an empty directory: where the container has no group, all
// that could be shown is others'.
func noCgroupMount(m specs.Mount) specs.Mount {
	return specs.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "ro", "mode=755", "size=4k"}}
}

func cgroupMount(m specs.Mount, hierarchies []cgroups.Hierarchy, group string, own bool) []specs.Mount {
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
		return []specs.Mount{one(hierarchies[0], m.Destination)}
	}
	list := []specs.Mount{{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: append([]string{"mode=755"}, m.Options...)}}
	for _, h := range hierarchies {
		list = append(list, one(h, path.Join(m.Destination, h.Name)))
	}
	return list
}

// cgroupLinks are the names by which programs look for controllers that share a
// hierarchy: cpu and cpuacct for that of both.
func cgroupLinks(dir string, hierarchies []cgroups.Hierarchy) (links [][2]string) {
	for _, h := range hierarchies {
		if h.Unified || !strings.Contains(h.Name, ",") {
			continue
		}
		for _, controller := range strings.Split(h.Name, ",") {
			links = append(links, [2]string{path.Join("/", dir, controller), h.Name})
		}
	}
	return links
}
