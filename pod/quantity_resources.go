package pod

import specs "github.com/opencontainers/runtime-spec/specs-go"

const (
	// MinMemory is the smallest memory limit that is accepted, in bytes. With
	// less even a small static program fails to start, by the kernel's OOM
	// killer and without a word.
	MinMemory = 4 << 20

	cpuPeriod   = 100_000 // µs, the kernel's and Kubernetes' default
	minCPUQuota = 1_000   // µs, the least that the kernel takes
	minShares   = 2
	maxShares   = 262_144
)

// Linux returns what the container's cgroup is to be set to, with the numbers
// that Kubernetes gives: the memory limit, the CPU limit as a quota of each
// 100 ms, the CPU request as shares. Nil when the spec asks for nothing.
func (r Resources) Linux() *specs.LinuxResources {
	l := &specs.LinuxResources{}
	if !r.Limits.Memory.IsZero() {
		l.Memory = &specs.LinuxMemory{Limit: new(r.Limits.Memory.Value())}
	}
	if cpu := r.Limits.CPU; !cpu.IsZero() {
		l.CPU = &specs.LinuxCPU{
			Quota:  new(max(cpu.MilliValue()*(cpuPeriod/1000), minCPUQuota)),
			Period: new(uint64(cpuPeriod)),
		}
	}
	if cpu := r.Requests.CPU; !cpu.IsZero() {
		if l.CPU == nil {
			l.CPU = &specs.LinuxCPU{}
		}
		l.CPU.Shares = new(uint64(min(max(cpu.MilliValue()*1024/1000, minShares), maxShares)))
	}
	if l.Memory == nil && l.CPU == nil {
		return nil
	}
	return l
}
