package cgroups

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// tick is the unit of cpuacct.stat in nanoseconds: USER_HZ is 100 everywhere.
const tick = 10_000_000

func (g *Group) statCPU(r *statReader, s *Stats) {
	c := &s.CPU
	if dir := g.dirOne("cpuacct"); dir != "" {
		c.Usage.Total = r.number(dir, "cpuacct.usage")
		c.Usage.Percpu = r.numbers(dir, "cpuacct.usage_percpu")
		c.Usage.PercpuKernel = r.numbers(dir, "cpuacct.usage_percpu_sys")
		c.Usage.PercpuUser = r.numbers(dir, "cpuacct.usage_percpu_user")
		k := r.keys(dir, "cpuacct.stat")
		c.Usage.User, c.Usage.Kernel = tick*k["user"], tick*k["system"]
	} else {
		k := r.keys(g.dirTwo(), "cpu.stat")
		c.Usage.Total, c.Usage.User, c.Usage.Kernel = 1000*k["usage_usec"], 1000*k["user_usec"], 1000*k["system_usec"]
	}
	k, unit := r.keys(g.dirOne("cpu"), "cpu.stat"), uint64(1)
	if g.dirOne("cpu") == "" {
		k, unit = r.keys(g.dirTwo(), "cpu.stat"), 1000
	}
	c.Throttling.Periods, c.Throttling.ThrottledPeriods = k["nr_periods"], k["nr_throttled"]
	c.Throttling.ThrottledTime = k["throttled_time"] + unit*k["throttled_usec"]
	c.Pressure = r.pressure(g.dirTwo(), "cpu.pressure")
	s.CPULimit = g.quota(r)
}

// quota is how many cores may be used, 0 where nothing limits that.
func (g *Group) quota(r *statReader) float64 {
	var quota, period string
	if dir := g.dirOne("cpu"); dir != "" {
		quota, period = r.text(dir, "cpu.cfs_quota_us"), r.text(dir, "cpu.cfs_period_us")
	} else {
		quota, period, _ = strings.Cut(r.text(g.dirTwo(), "cpu.max"), " ")
	}
	q, err1 := strconv.ParseFloat(strings.TrimSpace(quota), 64)
	p, err2 := strconv.ParseFloat(strings.TrimSpace(period), 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return q / p
}

func (g *Group) statCPUSet(r *statReader, s *Stats) {
	dir := g.dirOne("cpuset")
	if dir == "" {
		return
	}
	c := &s.CPUSet
	c.CPUs, c.Mems = ranges(r.text(dir, "cpuset.cpus")), ranges(r.text(dir, "cpuset.mems"))
	for file, to := range map[string]*uint64{
		"cpu_exclusive": &c.CPUExclusive, "mem_hardwall": &c.MemHardwall, "mem_exclusive": &c.MemExclusive,
		"memory_migrate": &c.MemoryMigrate, "memory_spread_page": &c.MemorySpreadPage, "memory_spread_slab": &c.MemorySpreadSlab,
		"memory_pressure": &c.MemoryPressure, "sched_load_balance": &c.SchedLoadBalance,
	} {
		*to = r.number(dir, "cpuset."+file)
	}
	c.SchedRelaxDomainLevel, _ = strconv.ParseInt(strings.TrimSpace(r.text(dir, "cpuset.sched_relax_domain_level")), 10, 64)
}

// ranges expands "0-2,4".
func ranges(text string) (list []uint16) {
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		for n := first; n <= last; n++ {
			list = append(list, uint16(n))
		}
	}
	return list
}

func (g *Group) statMemory(r *statReader, s *Stats) {
	m := &s.Memory
	if dir := g.dirOne("memory"); dir != "" {
		m.Raw = r.keys(dir, "memory.stat")
		m.Cache = m.Raw["cache"]
		s.Counted.Memory = true
		for kind, to := range map[string]*MemoryUsage{"": &m.Usage, "memsw.": &m.Swap, "kmem.": &m.Kernel, "kmem.tcp.": &m.KernelTCP} {
			name := "memory." + kind
			*to = MemoryUsage{
				Limit: r.number(dir, name+"limit_in_bytes"), Usage: r.number(dir, name+"usage_in_bytes"),
				Max: r.number(dir, name+"max_usage_in_bytes"), Failcnt: r.number(dir, name+"failcnt"),
			}
		}
		return
	}
	dir := g.dirTwo()
	m.Raw = r.keys(dir, "memory.stat")
	m.Cache = m.Raw["file"]
	s.Counted.Memory = len(m.Raw) > 0
	events := r.keys(dir, "memory.events")
	m.Usage = MemoryUsage{r.number(dir, "memory.max"), r.number(dir, "memory.current"), r.number(dir, "memory.peak"), events["max"]}
	m.Swap = MemoryUsage{Limit: r.number(dir, "memory.swap.max"), Usage: r.number(dir, "memory.swap.current")}
	m.Swap.Usage += m.Usage.Usage
	if m.Swap.Limit != math.MaxUint64 && m.Usage.Limit != math.MaxUint64 {
		m.Swap.Limit += m.Usage.Limit
	} else {
		m.Swap.Limit = math.MaxUint64
	}
	m.Pressure = r.pressure(dir, "memory.pressure")
}

// statPids counts by hand where nothing limits, and so nothing counts.
func (g *Group) statPids(r *statReader, s *Stats) {
	dir := g.dirOne("pids")
	if dir == "" {
		dir = g.dirTwo()
	}
	if !exists(dir + "/pids.current") {
		list, _ := procsBelow(g.main())
		s.Pids.Current = uint64(len(list))
		return
	}
	s.Pids = PidsStats{Current: r.number(dir, "pids.current"), Limit: r.number(dir, "pids.max")}
	if s.Pids.Limit == math.MaxUint64 {
		s.Pids.Limit = 0
	}
}

func (g *Group) statBlock(r *statReader, s *Stats) {
	b := &s.Block
	if dir := g.dirOne("blkio"); dir != "" {
		s.Counted.Block = true
		b.Bytes, b.Operations = r.blocks(dir, "io_service_bytes_recursive"), r.blocks(dir, "io_serviced_recursive")
		return
	}
	s.Counted.Block = exists(g.dirTwo() + "/io.stat")
	for line := range strings.Lines(r.text(g.dirTwo(), "io.stat")) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		major, minor, _ := strings.Cut(f[0], ":")
		e := BlockEntry{Major: r.parse(g.dirTwo(), "io.stat", major), Minor: r.parse(g.dirTwo(), "io.stat", minor)}
		for _, field := range f[1:] {
			name, value, _ := strings.Cut(field, "=")
			e.Op = map[byte]string{'r': "Read", 'w': "Write"}[name[0]]
			switch name {
			case "rbytes", "wbytes":
				e.Value = r.parse(g.dirTwo(), "io.stat", value)
				b.Bytes = append(b.Bytes, e)
			case "rios", "wios":
				e.Value = r.parse(g.dirTwo(), "io.stat", value)
				b.Operations = append(b.Operations, e)
			}
		}
	}
	b.Pressure = r.pressure(g.dirTwo(), "io.pressure")
}

// blocks reads "8:0 Read 4096" from BFQ's files where that has counted, else
// from those of throttling, which counts for every scheduler.
func (r *statReader) blocks(dir, file string) (list []BlockEntry) {
	for _, who := range []string{"blkio.bfq.", "blkio.throttle."} {
		for line := range strings.Lines(r.text(dir, who+file)) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue // the sum of all
			}
			major, minor, _ := strings.Cut(f[0], ":")
			list = append(list, BlockEntry{r.parse(dir, file, major), r.parse(dir, file, minor), f[1], r.parse(dir, file, f[2])})
		}
		if slices.ContainsFunc(list, func(e BlockEntry) bool { return e.Value > 0 }) {
			return list
		}
	}
	return list
}

// statHugetlb finds the sizes by the files' names.
func (g *Group) statHugetlb(r *statReader, s *Stats) {
	dir, one := g.dirOne("hugetlb"), true
	if dir == "" {
		dir, one = g.dirTwo(), false
	}
	for _, size := range pageSizes() {
		name := "hugetlb." + size
		switch {
		case one && exists(dir+"/"+name+".usage_in_bytes"):
			s.Hugetlb[size] = HugetlbStats{r.number(dir, name+".usage_in_bytes"), r.number(dir, name+".max_usage_in_bytes"), r.number(dir, name+".failcnt")}
		case !one && exists(dir+"/"+name+".current"):
			s.Hugetlb[size] = HugetlbStats{Usage: r.number(dir, name+".current"), Failcnt: r.keys(dir, name+".events")["max"]}
		}
	}
}
