package cgroups_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func p[T any](v T) *T { return &v }

// limited makes the group with limits. Where the host has no such controller
// it checks that New says so, makes nothing, and gives nil.
func limited(t *testing.T, controller string, r *specs.LinuxResources) *cgroups.Group {
	t.Helper()
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, r)
	if !has(t, controller) {
		if !errors.Is(err, cgroups.ErrNoController) || !strings.Contains(err.Error(), controller) || !strings.Contains(err.Error(), "leave the limit out") {
			t.Errorf("without the %s controller: %v", controller, err)
		}
		missing(t, prefix)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(t, g) })
	return g
}

func TestPidsLimit(t *testing.T) {
	g := limited(t, "pids", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](3)}})
	if g == nil {
		return
	}
	text, err := output(t, g, "for i in 1 2 3 4 5; do sleep 100 & done; wait")
	if err == nil || !strings.Contains(strings.ToLower(text), "fork") {
		t.Errorf("five processes more in a group for three: %v, %s", err, text)
	}
	list, err := g.Procs()
	for _, pid := range list { // not by Kill, after which nothing can be born there
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	testkit.Eventually(t, "no process", func() bool {
		list, err = g.Procs()
		return len(list) == 0
	})
	if err != nil {
		t.Error(err)
	}
	if err := g.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](-1)}}); err != nil {
		t.Fatal(err)
	}
	if text, err := output(t, g, "for i in 1 2 3 4 5; do sleep 0.01 & done; wait"); err != nil {
		t.Errorf("without a limit: %v, %s", err, text)
	}
}

// TestPidsLimitOne: the thread that visits the group is not counted.
func TestPidsLimitOne(t *testing.T) {
	g := limited(t, "pids", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](1)}})
	if g == nil {
		return
	}
	if text, err := output(t, g, "exec true"); err != nil {
		t.Errorf("one process: %v, %s", err, text)
	}
	if text, err := output(t, g, "sleep 0 & wait"); err == nil {
		t.Errorf("two processes: %v, %s", err, text)
	}
	if n := content(t, file(t, "pids", prefix, "pids.max", "pids.max")); n != "1" {
		t.Errorf("pids.max is %s", n)
	}
}

func TestMemoryLimit(t *testing.T) {
	const limit = 32 << 20
	g := limited(t, "memory", &specs.LinuxResources{Memory: &specs.LinuxMemory{
		Limit: p[int64](limit), Swap: p[int64](limit), Reservation: p[int64](limit / 2)}})
	if g == nil {
		return
	}
	if text, err := output(t, g, "head -c 4000000 /dev/zero | tail | wc -c"); err != nil || strings.TrimSpace(text) != "4000000" {
		t.Errorf("4 MB: %v, %s", err, text)
	}
	_, err := output(t, g, "exec tail /dev/zero")
	var e *exec.ExitError
	if !errors.As(err, &e) || e.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("as much as there is: %v, not killed", err)
	}
	now := content(t, file(t, "memory", prefix, "memory.limit_in_bytes", "memory.max"))
	if now != "33554432" {
		t.Errorf("limit is %s", now)
	}
	// Up and down: memory plus swap is never below memory.
	for _, n := range []int64{2 * limit, limit / 2} {
		if err := g.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p(n), Swap: p(n)}}); err != nil {
			t.Errorf("limit %d: %v", n, err)
		}
	}
	err = g.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](1), CheckBeforeUpdate: p(true)}})
	if used := content(t, file(t, "memory", prefix, "memory.usage_in_bytes", "memory.current")); used != "0" && !errors.Is(err, cgroups.ErrInvalid) {
		t.Errorf("a limit below use: %v", err)
	}
	if err := g.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](-1)}}); err != nil {
		t.Errorf("no limit: %v", err)
	}
}

func TestCpuset(t *testing.T) {
	g := limited(t, "cpuset", &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}})
	if g == nil {
		return
	}
	text, err := output(t, g, "grep Cpus_allowed_list /proc/self/status")
	if err != nil || strings.Join(strings.Fields(text), " ") != "Cpus_allowed_list: 0" {
		t.Errorf("%v, %s", err, text)
	}
	// One below has what its parent has.
	sub, err := cgroups.New(prefix+"/a/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := output(t, sub, "grep Cpus_allowed_list /proc/self/status"); err != nil || !strings.HasSuffix(strings.TrimSpace(text), "\t0") {
		t.Errorf("below: %v, %s", err, text)
	}
	if err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}); err == nil || !strings.Contains(err.Error(), "set cpuset.cpus to 4000") {
		t.Errorf("a processor that is not there: %v", err)
	}
}

// TestCpusetAsked: who asks for all CPUs gets those of the group, also on kernels
// where TestCpuset fails.
func TestCpusetAsked(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip("no taskset")
	}
	g := limited(t, "cpuset", &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}})
	if g == nil {
		return
	}
	text, err := output(t, g, "taskset ffff grep Cpus_allowed_list /proc/self/status")
	if err != nil || strings.Join(strings.Fields(text), " ") != "Cpus_allowed_list: 0" {
		t.Errorf("%v, %s", err, text)
	}
}

func TestCPU(t *testing.T) {
	g := limited(t, "cpu", &specs.LinuxResources{CPU: &specs.LinuxCPU{
		Shares: p[uint64](512), Quota: p[int64](5000), Period: p[uint64](50000)}})
	if g == nil {
		return
	}
	// A tenth of a processor is less than this wants.
	start(t, g, "while :; do :; done")
	testkit.Until(t, func() string {
		if stat := content(t, file(t, "cpu", prefix, "cpu.stat", "cpu.stat")); strings.Contains(stat, "nr_throttled 0\n") {
			return "never throttled: " + stat
		}
		return ""
	})
	// A period alone keeps the quota; both may change in either direction.
	for _, c := range []specs.LinuxCPU{
		{Period: p[uint64](100000)},
		{Period: p[uint64](2000), Quota: p[int64](1000)},
		{Period: p[uint64](1000000), Quota: p[int64](500000)},
		{Quota: p[int64](-1)},
	} {
		if err := g.Update(&specs.LinuxResources{CPU: &c}); err != nil {
			t.Error(err)
		}
	}
}

// TestDevices: what the rules of runc's default spec leave of the devices.
func TestDevices(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: false, Type: "b", Access: "rwm"},
		{Allow: true, Major: p[int64](250), Access: "rw"},
		{Allow: true, Minor: p[int64](4000), Access: "rwm"},
		{Allow: true, Type: "c", Major: p[int64](1), Minor: p[int64](11), Access: "r"}, // kmsg
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	dir := t.TempDir()
	for _, test := range []struct {
		script string
		ok     bool
	}{
		{"echo > /dev/null", true},
		{"head -c 9 /dev/zero /dev/urandom", true},
		{"mknod " + dir + "/mem c 1 1", true},
		{"cat " + dir + "/mem", false},
		{"mknod " + dir + "/kmsg c 1 11", true},
		{": < " + dir + "/kmsg", true},
		{": > " + dir + "/kmsg", false},
		{": <> " + dir + "/kmsg", false},
	} {
		if text, err := output(t, g, test.script); (err == nil) != test.ok {
			t.Errorf("%s: %v, %s", test.script, err, text)
		} else if err != nil && !strings.Contains(text, "not permitted") {
			t.Errorf("%s: %s", test.script, text)
		}
	}
	if f, err := os.Open(dir + "/kmsg"); err != nil {
		t.Errorf("outside of the group: %v", err)
	} else {
		f.Close()
	}
}

// hugetlb is the controller that a machine with v1 leaves to v2 most often.
func hugetlb(t *testing.T) (*specs.LinuxResources, bool) {
	return &specs.LinuxResources{Unified: map[string]string{"hugetlb.2MB.max": "4194304"}}, hasTwo(t, "hugetlb")
}

func TestUnified(t *testing.T) {
	testkit.NeedRoot(t)
	if mode(t) == cgroups.V1 {
		return
	}
	r, ok := hugetlb(t)
	if !ok {
		t.Skip("the kernel has no hugetlb controller, or cgroup v1 has it")
	}
	g, err := cgroups.New(prefix+"/a/b", r)
	if err != nil {
		t.Fatal(err)
	}
	top, err := cgroups.Load(prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, top)
	if n := content(t, two(t, g.Path(), "hugetlb.2MB.max")); n != "4194304" {
		t.Errorf("limit is %s", n)
	}
	// The group above has a controller on for the ones below, and takes no
	// process any more.
	err = top.Add(os.Getpid())
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "groups below it have limits") {
		t.Errorf("Add above: %v", err)
	}
}

func TestParentWithProcesses(t *testing.T) {
	testkit.NeedRoot(t)
	r, ok := hugetlb(t)
	if !ok {
		t.Skip("the kernel has no hugetlb controller, or cgroup v1 has it")
	}
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	start(t, g, "sleep 100")
	_, err = cgroups.New(prefix+"/below", r)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "processes of its own") || !strings.Contains(err.Error(), "hugetlb below the group "+prefix) {
		t.Errorf("limits below a group with processes: %v", err)
	}
	missing(t, prefix+"/below")
	if sub, err := cgroups.New(prefix+"/below", nil); err != nil {
		t.Errorf("without limits: %v", err)
	} else {
		drop(t, sub)
	}
}

func TestThreadedParent(t *testing.T) {
	testkit.NeedRoot(t)
	if mode(t) == cgroups.V1 {
		return
	}
	top, err := cgroups.New(prefix+"/threads", nil)
	if err != nil {
		t.Fatal(err)
	}
	above, err := cgroups.Load(prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, above)
	if err := os.WriteFile(two(t, top.Path(), "cgroup.type"), []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{top.Path() + "/below", prefix + "/beside"} {
		_, err = cgroups.New(path, nil)
		if !errors.Is(err, cgroups.ErrInvalid) || !strings.Contains(err.Error(), "domain invalid") {
			t.Errorf("%s: %v", path, err)
		}
		missing(t, path)
	}
}

// TestLimitsTogether: groups get their limits while others beside them have
// the controller switched on.
func TestLimitsTogether(t *testing.T) {
	testkit.NeedRoot(t)
	r, ok := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](64 << 20)}}, mode(t) != cgroups.V1 && hasTwo(t, "memory")
	if !ok && mode(t) != cgroups.V1 {
		r, ok = hugetlb(t)
	}
	if !ok {
		t.Skip("cgroup v2 has neither the memory nor the hugetlb controller")
	}
	for range 20 {
		var made sync.WaitGroup
		for i := range 4 {
			made.Go(func() {
				if _, err := cgroups.New(fmt.Sprintf("%s/%d", prefix, i), r); err != nil {
					t.Error(err)
				}
			})
		}
		made.Wait()
		if top, err := cgroups.Load(prefix); err != nil {
			t.Fatal(err)
		} else {
			drop(t, top)
		}
	}
}
