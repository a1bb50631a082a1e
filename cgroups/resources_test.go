package cgroups

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func p[T any](v T) *T { return &v }

// everywhere has all controllers in hierarchies of one version.
func everywhere(v version) controllers {
	return func(string) (version, error) { return v, nil }
}

// lines shows settings as "file=value", with "|" where the order may change
// and "?" where the file may be absent.
func lines(list []setting) []string {
	var text []string
	for _, s := range list {
		line := s.file + "=" + s.value
		if s.either {
			line += "|"
		}
		if s.optional {
			line += "?"
		}
		if s.instead != nil {
			line += " or " + s.instead.file + "=" + s.instead.value
		}
		text = append(text, line)
	}
	return text
}

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		name string
		r    specs.LinuxResources
		one  string
		two  string
	}{
		{"nothing", specs.LinuxResources{}, "", ""},
		{"empty parts", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](0)}, CPU: &specs.LinuxCPU{Shares: p[uint64](0)}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}, Network: &specs.LinuxNetwork{}}, "", ""},
		{"memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](100), Reservation: p[int64](50), Swap: p[int64](130)}},
			"memory.limit_in_bytes=100| memory.memsw.limit_in_bytes=130 memory.soft_limit_in_bytes=50",
			"memory.swap.max=30 memory.max=100 memory.low=50"},
		{"memory without swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](100), Swap: p[int64](100)}},
			"memory.limit_in_bytes=100| memory.memsw.limit_in_bytes=100",
			"memory.swap.max=0? memory.max=100"},
		{"memory with all swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](100), Swap: p[int64](-1)}},
			"memory.limit_in_bytes=100| memory.memsw.limit_in_bytes=-1?",
			"memory.swap.max=max? memory.max=100"},
		{"memory alone", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](100)}},
			"memory.limit_in_bytes=100", "memory.max=100"},
		{"no memory limit", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](-1)}},
			"memory.limit_in_bytes=-1| memory.memsw.limit_in_bytes=-1?", "memory.swap.max=max? memory.max=max"},
		{"cpu", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: p[uint64](1024), Quota: p[int64](5000), Period: p[uint64](10000), Burst: p[uint64](7), Idle: p[int64](0)}},
			"cpu.idle=0 cpu.shares=1024 cpu.cfs_period_us=10000| cpu.cfs_quota_us=5000| cpu.cfs_burst_us=7",
			"cpu.idle=0 cpu.weight=100 cpu.max=5000 10000| cpu.max.burst=7"},
		{"cpu quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: p[int64](5000)}}, "cpu.cfs_quota_us=5000", "cpu.max=5000"},
		{"cpu period", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: p[uint64](5000)}}, "cpu.cfs_period_us=5000", "cpu.max=max 5000"},
		{"no cpu quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: p[int64](-7)}}, "cpu.cfs_quota_us=-1", "cpu.max=max"},
		{"cpuset", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-2,4", Mems: "0"}}, "cpuset.cpus=0-2,4 cpuset.mems=0", "cpuset.cpus=0-2,4 cpuset.mems=0"},
		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](9)}}, "pids.max=9", "pids.max=9"},
		{"no pids limit", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](-1)}}, "pids.max=max", "pids.max=max"},
		{"no pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](0)}}, "pids.max=1", "pids.max=1"},
		{"swap of unlimited memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](-1), Swap: p[int64](30)}},
			"memory.limit_in_bytes=-1| memory.memsw.limit_in_bytes=30", "memory.swap.max=30 memory.max=max"},
		//lint:ignore SA1019 passed over, as by runc
		{"kernel memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: p[int64](1), KernelTCP: p[int64](1), Swappiness: p(^uint64(0))}}, "", ""},
		{"idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: p[uint64](1024), Idle: p[int64](1)}}, "cpu.idle=1", "cpu.idle=1"},
		{"weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: p[uint16](500)}},
			"blkio.bfq.weight=500 or blkio.weight=500", "io.bfq.weight=500 or io.weight=4950"},
		{"weights", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{weightOf(8, 16, 1000)}}},
			"blkio.bfq.weight_device=8:16 1000 or blkio.weight_device=8:16 1000", "io.bfq.weight=8:16 1000 or io.weight=8:16 10000"},
		{"throttle", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
			ThrottleReadBpsDevice: rates(8, 0, 1024, 0), ThrottleWriteBpsDevice: rates(8, 0, 1), ThrottleReadIOPSDevice: rates(8, 0, 2), ThrottleWriteIOPSDevice: rates(8, 0, 3)}},
			"blkio.throttle.read_bps_device=8:0 1024 blkio.throttle.read_bps_device=8:0 0 blkio.throttle.write_bps_device=8:0 1 blkio.throttle.read_iops_device=8:0 2 blkio.throttle.write_iops_device=8:0 3",
			"io.max=8:0 rbps=1024 io.max=8:0 rbps=max io.max=8:0 wbps=1 io.max=8:0 riops=2 io.max=8:0 wiops=3"},
		{"hugepages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 5}}},
			"hugetlb.2MB.limit_in_bytes=5 hugetlb.2MB.rsvd.limit_in_bytes=5?", "hugetlb.2MB.max=5 hugetlb.2MB.rsvd.max=5?"},
		{"rdma", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: p[uint32](2), HcaObjects: p[uint32](3)}, "mlx4": {HcaObjects: p[uint32](0)}}},
			"rdma.max=mlx4 hca_object=0 rdma.max=mlx5_1 hca_handle=2 hca_object=3", "rdma.max=mlx4 hca_object=0 rdma.max=mlx5_1 hca_handle=2 hca_object=3"},
	} {
		for v, want := range map[version]string{one: test.one, two: test.two} {
			plan, err := makePlan(&test.r, everywhere(v), nil)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			} else if got := strings.Join(lines(plan.settings), " "); got != want {
				t.Errorf("%s, version %d:\n%s, want\n%s", test.name, v, got, want)
			}
		}
	}
}

func weightOf(major, minor int64, weight uint16) specs.LinuxWeightDevice {
	d := specs.LinuxWeightDevice{Weight: &weight}
	d.Major, d.Minor = major, minor
	return d
}

// rates limits one disk to each of the rates.
func rates(major, minor int64, list ...uint64) []specs.LinuxThrottleDevice {
	devices := make([]specs.LinuxThrottleDevice, len(list))
	for i, rate := range list {
		devices[i].Major, devices[i].Minor, devices[i].Rate = major, minor, rate
	}
	return devices
}

// TestOneOnly: what v2 does not have is written where v1 has it.
func TestOneOnly(t *testing.T) {
	r := &specs.LinuxResources{
		Network: &specs.LinuxNetwork{ClassID: p[uint32](0x100001), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 5}}},
		CPU:     &specs.LinuxCPU{RealtimeRuntime: p[int64](950), RealtimePeriod: p[uint64](1000)},
		BlockIO: &specs.LinuxBlockIO{LeafWeight: p[uint16](20)},
		Memory:  &specs.LinuxMemory{Swappiness: p[uint64](0), DisableOOMKiller: p(true)},
	}
	plan, err := makePlan(r, everywhere(one), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "memory.swappiness=0 memory.oom_control=1 cpu.rt_period_us=1000| cpu.rt_runtime_us=950 blkio.leaf_weight=20 net_cls.classid=1048577 net_prio.ifpriomap=eth0 5"
	if got := strings.Join(lines(plan.settings), " "); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestUnifiedIsSorted(t *testing.T) {
	plan, err := makePlan(&specs.LinuxResources{
		Pids:    &specs.LinuxPids{Limit: p[int64](1)},
		Unified: map[string]string{"memory.max": "7", "memory.high": "5", "io.max": "8:0 rbps=1\n8:16 rbps=2", "cgroup.max.depth": "1"},
	}, everywhere(two), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines(plan.settings), " "); got != "pids.max=1 cgroup.max.depth=1 io.max=8:0 rbps=1\n8:16 rbps=2 memory.high=5 memory.max=7" {
		t.Error(got)
	}
	if !reflect.DeepEqual(plan.enable, []string{"pids", "io", "memory"}) {
		t.Error(plan.enable)
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		r    specs.LinuxResources
		v    version
		want error
		text string
	}{
		{"blockIO", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: p[uint16](1)}}, two, ErrInvalid, "10 to 1000"},
		{"blockIO device", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{Weight: p[uint16](2000)}}}}, one, ErrInvalid, "weightDevice[0].weight"},
		{"leaf weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: p[uint16](10)}}, two, ErrUnsupported, "blockIO.leafWeight"},
		{"no blkio", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: p[uint16](10)}}, missing, ErrNoController, "on v2 io must be"},
		{"hugepages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../x"}}}, two, ErrInvalid, "2MB"},
		{"network", specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: p[uint32](1)}}, two, ErrNoController, "network.classID"},
		{"interface", specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}}}, one, ErrInvalid, `"a b"`},
		{"rdma", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"a": {}}}, two, ErrInvalid, "hcaHandles"},
		{"realtime", specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: p[int64](1)}}, two, ErrUnsupported, "realtime"},
		{"much swappiness", specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: p[uint64](101)}}, one, ErrInvalid, "0 to 100"},
		{"hierarchy", specs.LinuxResources{Memory: &specs.LinuxMemory{UseHierarchy: p(false)}}, one, ErrUnsupported, "useHierarchy"},
		{"swappiness", specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: p[uint64](1)}}, two, ErrUnsupported, "swappiness"},
		{"swap without memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: p[int64](1)}}, two, ErrInvalid, "set both"},
		{"swap without memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: p[int64](1)}}, one, ErrInvalid, "set both"},
		{"swap below memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](2), Swap: p[int64](1)}}, two, ErrInvalid, "not less than memory.limit 2"},
		{"cpus", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "all"}}, two, ErrInvalid, "0-3,6"},
		{"unified on v1", specs.LinuxResources{Unified: map[string]string{"memory.max": "1"}}, one, ErrNoController, "on cgroup v2"},
		{"path in unified", specs.LinuxResources{Unified: map[string]string{"memory/../../x.y": "1"}}, two, ErrInvalid, "unified"},
		{"nothing in unified", specs.LinuxResources{Unified: map[string]string{"": "1"}}, two, ErrInvalid, "unified"},
		{"own file", specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "1"}}, two, ErrUnsupported, "cgroup.procs"},
		{"no memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](2)}}, missing, ErrNoController, "memory controller"},
		{"no cpu", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: p[uint64](2)}}, missing, ErrNoController, "cpu controller"},
		{"no cpuset", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, missing, ErrNoController, "cpuset controller"},
		{"no pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](2)}}, missing, ErrNoController, "pids controller"},
	} {
		_, err := makePlan(&test.r, everywhere(test.v), nil)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestWeight: the fixed points, and that more shares never weigh less.
func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 1: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares weigh %d, not %d", shares, got, want)
		}
	}
	last := uint64(0)
	for shares := uint64(2); shares <= 262144; shares++ {
		w := weight(shares)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("%d shares weigh %d after %d", shares, w, last)
		}
		last = w
	}
}
