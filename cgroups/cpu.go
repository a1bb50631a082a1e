package cgroups

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func cpu(r *specs.LinuxResources, at controllers) ([]setting, error) {
	c := r.CPU
	if c == nil {
		return nil, nil
	}
	shares, quota, period := value(c.Shares), value(c.Quota), value(c.Period)
	realtime := value(c.RealtimeRuntime) != 0 || value(c.RealtimePeriod) != 0
	if shares == 0 && quota == 0 && period == 0 && c.Burst == nil && c.Idle == nil && !realtime {
		return nil, nil
	}
	if c.Idle != nil && *c.Idle == 1 {
		shares = 0 // the weight of an idle group is the least, and the kernel takes no other
	}
	v, err := where(at, "cpu", "cpu shares or quota")
	if err != nil {
		return nil, err
	}
	if v == two && realtime {
		return nil, fmt.Errorf("resource cpu.realtimeRuntime or cpu.realtimePeriod: %w: only cgroup v1 has such a setting; leave it out", ErrUnsupported)
	}
	if v == two {
		return cpuTwo(c, shares, quota, period), nil
	}
	return append(cpuOne(c, shares, quota, period), realtimeOne(c)...), nil
}

func cpuTwo(c *specs.LinuxCPU, shares uint64, quota int64, period uint64) []setting {
	var list []setting
	add := func(file, value string, either bool) {
		list = append(list, setting{controller: "cpu", version: two, file: file, value: value, either: either})
	}
	if c.Idle != nil {
		add("cpu.idle", strconv.FormatInt(*c.Idle, 10), false)
	}
	if shares != 0 {
		add("cpu.weight", strconv.FormatUint(weight(shares), 10), false)
	}
	if quota != 0 || period != 0 {
		// The burst must not exceed the quota while both change.
		add("cpu.max", bandwidth(quota, period), c.Burst != nil)
	}
	if c.Burst != nil {
		add("cpu.max.burst", strconv.FormatUint(*c.Burst, 10), false)
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
		add("cpu.cfs_quota_us", bytes(max(quota, -1), one), c.Burst != nil)
	}
	if c.Burst != nil {
		add("cpu.cfs_burst_us", strconv.FormatUint(*c.Burst, 10), false)
	}
	return list
}

// realtimeOne: kernels have these files where they are built with
// CONFIG_RT_GROUP_SCHED, which few are.
func realtimeOne(c *specs.LinuxCPU) []setting {
	var list []setting
	period, runtime := value(c.RealtimePeriod), value(c.RealtimeRuntime)
	if period != 0 {
		list = append(list, setting{controller: "cpu", version: one, file: "cpu.rt_period_us", value: strconv.FormatUint(period, 10), either: runtime != 0})
	}
	if runtime != 0 {
		list = append(list, setting{controller: "cpu", version: one, file: "cpu.rt_runtime_us", value: strconv.FormatInt(runtime, 10)})
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
