package main

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// groupPath sees to it that the form of linux.cgroupsPath is that of who makes
// the cgroup. Without one a scope is called peapod-ID.scope.
func (p *peapod) groupPath(spec *specs.Spec, id string) error {
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	path := spec.Linux.CgroupsPath
	switch scope := cgroups.IsScope(path); {
	case p.systemd && path == "":
		spec.Linux.CgroupsPath = ":peapod:" + strings.ReplaceAll(id, "+", `\x2b`) // in the usual slice
	case p.systemd && !scope:
		return fmt.Errorf("linux.cgroupsPath %q: with --systemd-cgroup it is slice:prefix:name, such as system.slice:peapod:web1: give that, or leave it out", path)
	case !p.systemd && scope:
		return fmt.Errorf("linux.cgroupsPath %q: is the name of a scope: give --systemd-cgroup, or a path such as /peapod/web1", path)
	}
	return nil
}
