package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// feelsLimits tests that an ordinary user's limits are felt and reported, wherever his
// cgroups are, and that nothing is left of them. groups lists those that there are.
func (o *ordinary) feelsLimits(groups func() []string) {
	t := o.t.(*testing.T)
	before := strings.Join(groups(), " ")
	for name, test := range map[string]func(*ordinary){
		"memory": (*ordinary).feelsMemory, "pids": (*ordinary).feelsPids, "life": (*ordinary).limitedLife,
		"pod": (*ordinary).limitedPod, "pod killed": (*ordinary).limitedPodKilled,
	} {
		t.Run(name, func(t *testing.T) {
			test(o.with(t))
			testkit.Until(t, func() string {
				if now := strings.Join(groups(), " "); now != before {
					return "groups: " + now + "\nbefore: " + before
				}
				return o.left()
			})
		})
	}
}

// clears removes a container where the test ends before it does that.
func (o *ordinary) clears(id string) {
	o.t.Cleanup(func() {
		if o.t.Failed() {
			finish(o.t, o.command("delete", "-f", id))
		}
	})
}

// limited is a bundle with limits.
func (o *ordinary) limited(r *specs.LinuxResources, args ...string) string {
	return o.bundle(func(s *specs.Spec) { s.Linux.Resources = r }, args...)
}

func memoryOf(limit int64) *specs.LinuxResources {
	return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
}

func (o *ordinary) feelsMemory() {
	o.clears("m")
	o.peapod("run", "-b", o.limited(memoryOf(32<<20), "eat", "64"), "m").wants(137)
	if got := o.peapod("run", "-b", o.limited(memoryOf(96<<20), "eat", "64"), "m").ok(); got != "ate 64" {
		o.t.Errorf("with enough memory it says %q", got)
	}
	o.peapod("run", "-d", "-b", o.limited(memoryOf(32<<20), "hold"), "m").ok()
	events := begin(o.t, o.command("events", "--interval", "1s", "m"))
	events.sees(`"type":"stats"`)
	o.peapod("exec", "m", "probe", "eat", "64").wants(137)
	events.sees(`{"type":"oom","id":"m"}`)
	o.peapod("delete", "-f", "m").ok()
	if code := events.status(); code != 0 {
		o.t.Errorf("events ends with status %d", code)
	}
}

// A fork bomb under a limit of 64 stops at 64.
func (o *ordinary) feelsPids() {
	o.clears("b")
	limit := int64(64)
	o.peapod("run", "-d", "-b", o.limited(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, "bomb", "200"), "b").ok()
	pids := func() uint64 { return o.stats("b").Pids.Current }
	testkit.Eventually(o.t, "all are there", func() bool { return pids() == 64 })
	if s := o.stats("b").Pids; s.Current > 64 || s.Limit != 64 {
		o.t.Errorf("%+v", s)
	}
	if list := o.peapod("ps", "-f", "json", "b").ok(); strings.Count(list, ",") < 40 { // threads are counted too
		o.t.Errorf("ps: %s", list)
	}
	o.peapod("kill", "-a", "b", "KILL").ok()
	o.peapod("delete", "-f", "b").ok()
}

func (o *ordinary) stats(id string) containerStats {
	o.t.Helper()
	return decode[struct{ Data containerStats }](o.t, o.peapod("events", "--stats", id).ok()).Data
}

// group is the directory of a container's cgroup.
func (o *ordinary) group(id string) string {
	o.t.Helper()
	pid := decode[state](o.t, o.peapod("state", id).ok()).Pid
	_, path, ok := strings.Cut(read(o.t, "/proc/"+strconv.Itoa(pid)+"/cgroup"), "0::")
	if !ok {
		o.t.Fatal("no cgroup of v2")
	}
	return "/sys/fs/cgroup" + strings.TrimSpace(path)
}

func (o *ordinary) limitedLife() {
	o.clears("c")
	quota, period, shares, pids := int64(80000), uint64(100000), uint64(512), int64(50)
	r := memoryOf(32 << 20)
	r.Pids = &specs.LinuxPids{Limit: &pids}
	r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares}
	o.peapod("create", "-b", o.limited(r, "hold"), "c").ok()
	o.peapod("start", "c").ok()
	dir := o.group("c")
	file := func(name string) string { return strings.TrimSpace(read(o.t, filepath.Join(dir, name))) }
	for name, want := range map[string]string{"cpu.max": "80000 100000", "memory.max": "33554432", "pids.max": "50"} {
		if got := file(name); got != want {
			o.t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if got := o.peapod("exec", "c", "probe", "cat", "/proc/self/cgroup").ok(); !strings.HasSuffix(dir, strings.TrimPrefix(got, "0::")) && got != "0::/" {
		o.t.Errorf("what is executed is in %q, not in %s", got, dir)
	}
	o.peapod("exec", "c", "probe", "eat", "40").wants(137)
	o.peapod("update", "--memory", "64M", "--memory-swap", "64M", "--pids-limit", "60", "c").ok()
	if file("memory.max") != "67108864" || file("pids.max") != "60" || file("cpu.max") != "80000 100000" {
		o.t.Error("after an update: " + file("memory.max") + ", " + file("pids.max") + ", " + file("cpu.max"))
	}
	o.peapod("exec", "c", "probe", "eat", "40").ok()
	o.peapod("pause", "c").ok()
	if got := file("cgroup.events"); !strings.Contains(got, "frozen 1") {
		o.t.Errorf("paused: %s", got)
	}
	o.peapod("exec", "c", "probe", "id").wants(255, "paused")
	o.peapod("resume", "c").ok()
	if got := o.peapod("stats", "--no-stream", "c").ok(); !strings.Contains(got, "/64M") || !strings.Contains(got, "/60") || !strings.Contains(got, "/80") {
		o.t.Errorf("stats:\n%s", got)
	}
	o.peapod("delete", "-f", "c").ok()
	if _, err := os.Stat(dir); err == nil {
		o.t.Errorf("%s is left", dir)
	}
}

// podLimits are a Kubernetes container's.
func podLimits(c container, memory, cpu string) container {
	c["resources"] = map[string]any{"limits": map[string]any{"memory": memory, "cpu": cpu}}
	return c
}

func (o *ordinary) limitedPod() {
	greedy := o.manifest(o.pod("greedy", nil, podLimits(probing("eat", "64"), "32Mi", "1")))
	o.peapod("pod", "run", greedy).wants(137, "killed for lack of memory: its memory limit is 32Mi")
	o.peapod("pod", "run", "-d", greedy)
	testkit.Eventually(o.t, "it ends", func() bool { return strings.Contains(o.peapod("pod", "ps").ok(), "OOMKilled") })
	o.peapod("pod", "rm", "-f", "greedy").ok()

	pod := o.pod("p", nil, podLimits(probing("cat", "/proc/self/cgroup", ";", "cat", "/sys/fs/cgroup/memory.max", ";", "wait"), "64Mi", "500m"), probing("wait"))
	o.peapod("pod", "run", "-d", o.manifest(pod)).ok()
	testkit.Eventually(o.t, "it sees its limit", func() bool { return strings.Contains(o.peapod("pod", "logs", "p").stdout, "67108864") })
	if got := o.peapod("pod", "ps").ok(); !strings.Contains(got, "M") {
		o.t.Errorf("pod ps: %s", got)
	}
	if got := o.peapod("stats", "--no-stream", "p").ok(); !strings.Contains(got, "/64M") || !strings.Contains(got, "/50") {
		o.t.Errorf("stats:\n%s", got)
	}
	if got := o.peapod("pod", "exec", "-c", "b", "p", "--", "probe", "echo", "inside").ok(); got != "inside" {
		o.t.Errorf("exec says %q", got)
	}
	o.peapod("pod", "exec", "-c", "a", "p", "--", "probe", "eat", "100").wants(137)
	o.peapod("pause", "p.b").ok()
	o.peapod("resume", "p.b").ok()
	o.peapod("pod", "restart", "p").ok()
	if got := o.peapod("stats", "--no-stream", "p").ok(); !strings.Contains(got, "/64M") {
		o.t.Errorf("stats after a restart:\n%s", got)
	}
	o.peapod("pod", "stop", "-t", "0", "p").ok()
	o.peapod("pod", "rm", "p").ok()
}

// Nothing stays of a pod whose supervisor was killed.
func (o *ordinary) limitedPodKilled() {
	o.peapod("pod", "run", "-d", o.manifest(o.pod("k", nil, podLimits(probing("wait"), "64Mi", "1")))).ok()
	status := decode[struct{ Supervisor struct{ PID int } }](o.t, read(o.t, filepath.Join(o.run, "peapod/pods/k/status.json")))
	p, err := os.FindProcess(status.Supervisor.PID)
	if err != nil || status.Supervisor.PID == 0 {
		o.t.Fatal(err, status)
	}
	p.Kill()
	testkit.Eventually(o.t, "its end is seen", func() bool { return !strings.Contains(o.peapod("pod", "ps").ok(), "Running") })
	o.peapod("pod", "rm", "--force", "k").ok()
}

// groupsBelow lists the directories below some.
func groupsBelow(dirs ...string) func() []string {
	return func() (list []string) {
		for _, dir := range dirs {
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() && path != dir {
					list = append(list, path)
				}
				return nil
			})
		}
		return list
	}
}
