package cgroups

import (
	"path"
	"strings"
)

// Hierarchy is a mounted hierarchy.
type Hierarchy struct {
	// Dir is where it is mounted.
	Dir string
	// Name is that of its directory below /sys/fs/cgroup: "memory",
	// "cpu,cpuacct", "systemd", "unified".
	Name string
	// Unified tells cgroup v2 from v1.
	Unified bool
	// Options mount a v1 hierarchy once more: "memory", "name=systemd".
	Options []string
}

// Hierarchies are the host's: one on v2, more on v1 and hybrid.
func Hierarchies() ([]Hierarchy, error) {
	h, err := here()
	if err != nil {
		return nil, err
	}
	var list []Hierarchy
	for _, l := range h.legacy {
		name := strings.TrimPrefix(strings.Join(l.controllers, ","), "name=")
		list = append(list, Hierarchy{Dir: l.dir, Name: name, Options: l.controllers})
	}
	if h.unified != "" {
		list = append(list, Hierarchy{Dir: h.unified, Name: path.Base(h.unified), Unified: true})
	}
	return list, nil
}
