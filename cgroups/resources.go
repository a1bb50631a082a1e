package cgroups

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// value reads an optional number; the OCI's writers use 0 for "not set" too.
func value[T int64 | uint64](p *T) T {
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

func memory(r *specs.LinuxResources, at controllers) ([]setting, error) {
	m := r.Memory
	if m == nil {
		return nil, nil
	}
	limit, low, swap := value(m.Limit), value(m.Reservation), value(m.Swap)
	noKiller := m.DisableOOMKiller != nil && *m.DisableOOMKiller
	if limit == 0 && low == 0 && swap == 0 && m.Swappiness == nil && !noKiller {
		return nil, nil
	}
	v, err := where(at, "memory", "memory limit")
	if err != nil {
		return nil, err
	}
	if v == two {
		if m.Swappiness != nil || noKiller {
			return nil, fmt.Errorf("resource memory.swappiness and memory.disableOOMKiller: %w: cgroup v2 has no such setting; leave it out", ErrUnsupported)
		}
		return memoryTwo(limit, low, swap)
	}
	return memoryOne(m, limit, low, swap, noKiller)
}

// memoryTwo: v2 limits swap alone, the OCI memory and swap together.
func memoryTwo(limit, low, swap int64) ([]setting, error) {
	var list []setting
	add := func(file, value string, optional bool) {
		list = append(list, setting{controller: "memory", version: two, file: file, value: value, optional: optional})
	}
	swap, set, err := swapAlone(limit, swap)
	if err != nil {
		return nil, err
	}
	if set {
		// Kernels without swap accounting lack the file; then there is no
		// swap to forbid.
		add("memory.swap.max", bytes(swap, two), swap <= 0)
	}
	if limit != 0 {
		add("memory.max", bytes(limit, two), false)
	}
	if low != 0 {
		add("memory.low", bytes(low, two), false)
	}
	return list, nil
}

// swapAlone converts the OCI's sum of memory and swap into swap alone, -1 for
// no limit. set is false where there is nothing to write. Unlimited memory
// without a word about swap leaves swap unlimited, as v1 has it.
func swapAlone(limit, swap int64) (alone int64, set bool, err error) {
	switch {
	case swap == 0:
		return -1, limit < 0, nil
	case swap < 0:
		return -1, true, nil
	case limit <= 0:
		return 0, false, fmt.Errorf("%w memory.swap %d: it is the sum of memory and swap, and memory.limit is not set; set both", ErrInvalid, swap)
	case swap < limit:
		return 0, false, fmt.Errorf("%w memory.swap %d: it is the sum of memory and swap, thus not less than memory.limit %d", ErrInvalid, swap, limit)
	}
	return swap - limit, true, nil
}

func memoryOne(m *specs.LinuxMemory, limit, low, swap int64, noKiller bool) ([]setting, error) {
	var list []setting
	add := func(s setting) {
		s.controller, s.version = "memory", one
		list = append(list, s)
	}
	_, set, err := swapAlone(limit, swap)
	if err != nil {
		return nil, err
	}
	if limit < 0 && swap == 0 {
		swap = -1
	}
	if limit != 0 {
		// memsw must never be below the limit: raising wants memsw first.
		add(setting{file: "memory.limit_in_bytes", value: bytes(limit, one), either: set})
	}
	if set {
		add(setting{file: "memory.memsw.limit_in_bytes", value: bytes(swap, one), optional: swap < 0})
	}
	if low != 0 {
		add(setting{file: "memory.soft_limit_in_bytes", value: bytes(low, one)})
	}
	if m.Swappiness != nil {
		add(setting{file: "memory.swappiness", value: strconv.FormatUint(*m.Swappiness, 10)})
	}
	if noKiller {
		add(setting{file: "memory.oom_control", value: "1"})
	}
	return list, nil
}

func cpu(r *specs.LinuxResources, at controllers) ([]setting, error) {
	c := r.CPU
	if c == nil {
		return nil, nil
	}
	shares, quota, period := value(c.Shares), value(c.Quota), value(c.Period)
	if shares == 0 && quota == 0 && period == 0 && c.Burst == nil && c.Idle == nil {
		return nil, nil
	}
	v, err := where(at, "cpu", "cpu shares or quota")
	if err != nil {
		return nil, err
	}
	if v == two {
		return cpuTwo(c, shares, quota, period), nil
	}
	return cpuOne(c, shares, quota, period), nil
}

func cpuTwo(c *specs.LinuxCPU, shares uint64, quota int64, period uint64) []setting {
	var list []setting
	add := func(file, value string) {
		list = append(list, setting{controller: "cpu", version: two, file: file, value: value})
	}
	if c.Idle != nil {
		add("cpu.idle", strconv.FormatInt(*c.Idle, 10))
	}
	if shares != 0 {
		add("cpu.weight", strconv.FormatUint(weight(shares), 10))
	}
	if quota != 0 || period != 0 {
		add("cpu.max", bandwidth(quota, period))
	}
	if c.Burst != nil {
		add("cpu.max.burst", strconv.FormatUint(*c.Burst, 10))
	}
	return list
}

func cpuOne(c *specs.LinuxCPU, shares uint64, quota int64, period uint64) []setting {
	var list []setting
	add := func(file, value string, either bool) {
		list = append(list, setting{controller: "cpu", version: one, file: file, value: value, either: either})
	}
	if c.Idle != nil {
		add("cpu.idle", strconv.FormatInt(*c.Idle, 10), false)
	}
	if shares != 0 {
		add("cpu.shares", strconv.FormatUint(shares, 10), false)
	}
	if period != 0 {
		// A shorter period with the old quota may exceed what the parent has.
		add("cpu.cfs_period_us", strconv.FormatUint(period, 10), quota != 0)
	}
	if quota != 0 {
		add("cpu.cfs_quota_us", bytes(max(quota, -1), one), false)
	}
	if c.Burst != nil {
		add("cpu.cfs_burst_us", strconv.FormatUint(*c.Burst, 10), false)
	}
	return list
}

// bandwidth is the value of cpu.max. A period without a quota limits nothing
// in a new group; Update puts the quota that holds in beforehand.
func bandwidth(quota int64, period uint64) string {
	text := "max"
	if quota > 0 {
		text = strconv.FormatInt(quota, 10)
	}
	if period != 0 {
		text += " " + strconv.FormatUint(period, 10)
	}
	return text
}

// weight converts v1 shares (2 to 262144, default 1024) into the weight of v2
// (1 to 10000, default 100). It is the curve that runc and crun agreed on in
// 2025: least, default and greatest value meet their counterparts, which the
// older straight line did not do for the default.
func weight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func cpuset(r *specs.LinuxResources, at controllers) ([]setting, error) {
	c := r.CPU
	if c == nil || c.Cpus == "" && c.Mems == "" {
		return nil, nil
	}
	v, err := where(at, "cpuset", "cpu.cpus or cpu.mems")
	if err != nil {
		return nil, err
	}
	var list []setting
	for _, s := range []struct{ file, value string }{{"cpuset.cpus", c.Cpus}, {"cpuset.mems", c.Mems}} {
		if s.value == "" {
			continue
		}
		if strings.Trim(s.value, "0123456789-,") != "" {
			return nil, fmt.Errorf("%w %s %q: give a list such as 0-3,6", ErrInvalid, s.file, s.value)
		}
		list = append(list, setting{controller: "cpuset", version: v, file: s.file, value: s.value})
	}
	return list, nil
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
var ownFiles = []string{"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.type", "cgroup.subtree_control"}
