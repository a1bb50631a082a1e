package cgroups

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// value reads an optional number; the OCI's writers use 0 for "not set" too.
func value[T int64 | uint64 | uint16](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}

// bytes writes a limit; negative means none.
func bytes(n int64, v version) string {
	switch {
	case n >= 0:
		return strconv.FormatInt(n, 10)
	case v == two:
		return "max"
	}
	return "-1"
}

func pids(r *specs.LinuxResources, at controllers) ([]setting, error) {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil, nil
	}
	v, err := where(at, "pids", "pids limit")
	if err != nil {
		return nil, err
	}
	text := "max"
	if n := *r.Pids.Limit; n >= 0 {
		// 0 would be a group that nothing can be started in.
		text = strconv.FormatInt(max(n, 1), 10)
	}
	return []setting{{controller: "pids", version: v, file: "pids.max", value: text}}, nil
}

// unified: files of v2 by name, in the order of their names.
func unified(r *specs.LinuxResources, at controllers) ([]setting, error) {
	var list []setting
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || controller == "" || strings.ContainsAny(file, "/\x00") {
			return nil, fmt.Errorf("%w name %q in unified: give a file of cgroup v2 such as memory.high", ErrInvalid, file)
		}
		if slices.Contains(ownFiles, file) {
			return nil, fmt.Errorf("resource unified %s: %w: peapod itself writes that file", file, ErrUnsupported)
		}
		v, err := where(at, controller, "unified "+file)
		if err != nil {
			return nil, err
		}
		if v != two {
			return nil, fmt.Errorf("unified %s asked for, but the %s %w on cgroup v2: this host has it on v1; use the resource's own field, or boot with cgroup v2 alone", file, controller, ErrNoController)
		}
		list = append(list, setting{controller: controller, version: two, file: file, value: r.Unified[file]})
	}
	return list, nil
}

// ownFiles act on processes or on the tree, and are the methods of Group.
var ownFiles = []string{"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control"}
