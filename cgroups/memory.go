package cgroups

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func memory(r *specs.LinuxResources, at controllers) ([]setting, error) {
	m := r.Memory
	if m == nil {
		return nil, nil
	}
	limit, low, swap := value(m.Limit), value(m.Reservation), value(m.Swap)
	noKiller := m.DisableOOMKiller != nil && *m.DisableOOMKiller
	if m.Swappiness != nil && int64(*m.Swappiness) == -1 { // not set, for Docker
		c := *m
		m, c.Swappiness = &c, nil
	}
	if limit == 0 && low == 0 && swap == 0 && m.Swappiness == nil && !noKiller {
		return nil, nil
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return nil, fmt.Errorf("%w memory.swappiness %d: give 0 to 100", ErrInvalid, *m.Swappiness)
	}
	v, err := where(at, "memory", "memory limit")
	if err != nil {
		return nil, err
	}
	if v == two {
		if m.Swappiness != nil || noKiller {
			return nil, fmt.Errorf("resource memory.swappiness or memory.disableOOMKiller: %w: only cgroup v1 has such a setting; leave it out", ErrUnsupported)
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
	case limit < 0:
		return swap, true, nil // of unlimited memory nothing can be taken off
	case limit == 0:
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
