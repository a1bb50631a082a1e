package cgroups

// Stats are what a group has used and is using. Its form in JSON is that of
// `runc events`, but for the network and resctrl, which are none of a group's.
// What the host has no controller for is zero.
type Stats struct {
	CPU     CPUStats                `json:"cpu"`
	CPUSet  CPUSetStats             `json:"cpuset"`
	Memory  MemoryStats             `json:"memory"`
	Pids    PidsStats               `json:"pids"`
	Block   BlockStats              `json:"blkio"`
	Hugetlb map[string]HugetlbStats `json:"hugetlb"` // by size of page: "2MB"
	// CPULimit is the quota in cores; 0 is none. runc does not tell it.
	CPULimit float64 `json:"-"`
	// Counted tells where a zero is a measurement: the group has the controller.
	// CPU time is always counted.
	Counted struct{ Memory, Block bool } `json:"-"`
}

// CPUStats are about processor time. Times are in nanoseconds.
type CPUStats struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		Percpu       []uint64 `json:"percpu,omitempty"`        // v1
		PercpuKernel []uint64 `json:"percpu_kernel,omitempty"` // v1
		PercpuUser   []uint64 `json:"percpu_user,omitempty"`   // v1
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage,omitzero"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling,omitzero"`
	Pressure *Pressure `json:"psi,omitempty"`
}

// CPUSetStats are the settings of a cpuset of v1, which runc counts here too.
type CPUSetStats struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

// MemoryStats are in bytes.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryUsage       `json:"usage,omitzero"`
	Swap      MemoryUsage       `json:"swap,omitzero"` // memory and swap together, on v2 too
	Kernel    MemoryUsage       `json:"kernel,omitzero"`
	KernelTCP MemoryUsage       `json:"kernelTCP,omitzero"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
	Pressure  *Pressure         `json:"psi,omitempty"`
}

// MemoryUsage is of one kind of memory. A Limit of 2^63 or nearly so is none.
type MemoryUsage struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"` // so far
	Failcnt uint64 `json:"failcnt"`       // how often the limit was met
}

// PidsStats count processes and threads. A Limit of 0 is none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockStats are about disks, by device and direction.
type BlockStats struct {
	Bytes      []BlockEntry `json:"ioServiceBytesRecursive,omitempty"`
	Operations []BlockEntry `json:"ioServicedRecursive,omitempty"`
	Pressure   *Pressure    `json:"psi,omitempty"`
}

// BlockEntry is a counter for a device; Op is Read, Write, and on v1 others too.
type BlockEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbStats are in bytes.
type HugetlbStats struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// Pressure says how much of the time some or all of the processes that would run
// wait for a resource (v2, where the kernel has PSI switched on).
type Pressure struct {
	Some PressureShare `json:"some,omitzero"`
	Full PressureShare `json:"full,omitzero"`
}

// PressureShare has percentages over the last 10, 60 and 300 seconds, and the
// sum in microseconds.
type PressureShare struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}
