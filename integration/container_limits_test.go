package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// needController skips a test of a limit that this host has no controller for,
// in v1 or v2. That it is refused then is package cgroups' to test.
func needController(t testing.TB, one, two string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/" + one, "/sys/fs/cgroup/*," + one, "/sys/fs/cgroup/" + one + ",*"} {
		if found, _ := filepath.Glob(pattern + "/tasks"); len(found) > 0 {
			return
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"} {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(" "+strings.TrimSpace(string(text))+" ", " "+two+" ") {
			return
		}
	}
	t.Skipf("the host has no %s controller", two)
}

// hostShell runs scripts of the host's shell in a container whose root is the
// host's, which has all tools.
func hostShell(t testing.TB, r *specs.LinuxResources, script string) string {
	t.Helper()
	return newBundle(t, func(s *specs.Spec) {
		s.Root.Path, s.Root.Readonly = "/", true
		s.Process.Args = []string{"/bin/sh", "-c", script}
		s.Process.Cwd = "/"
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}})
		if r.Devices == nil {
			r.Devices = s.Linux.Resources.Devices
		}
		s.Linux.Resources = r
	})
}

func counterOf(t testing.TB, pid int) func() uint64 {
	return func() uint64 {
		text := read(t, fmt.Sprintf("/proc/%d/stat", pid))
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		n, _ := strconv.ParseUint(f[11], 10, 64) // utime
		return n
	}
}

func TestPause(t *testing.T) {
	id := newName(t)
	peapod(t, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{}, "while :; do :; done"), id).ok()
	used := counterOf(t, stateOf(t, id).Pid)
	testkit.Eventually(t, "it runs", func() bool { return used() > 0 })
	peapod(t, "pause", id).ok()
	if s := stateOf(t, id); s.Status != "paused" {
		t.Errorf("status %s", s.Status)
	}
	before := used()
	time.Sleep(100 * time.Millisecond) // ten ticks of what it would use
	if n := used(); n != before {
		t.Errorf("a paused container used %d ticks", n-before)
	}
	peapod(t, "exec", id, "true").wants(255, "cannot exec in a paused container")
	waits := begin(t, command(t, "exec", "--ignore-paused", id, "/bin/echo", "resumed"))
	peapod(t, "update", "--cpu-share", "512", id).ok()
	peapod(t, "delete", id).wants(1, "not stopped")
	if s := stateOf(t, id); s.Status != "paused" {
		t.Errorf("status %s after an update", s.Status)
	}
	peapod(t, "resume", id).ok()
	peapod(t, "resume", id).wants(1, "not paused")
	waits.sees("resumed")
	testkit.Eventually(t, "it goes on", func() bool { return used() > before })
	peapod(t, "pause", id).ok()
	peapod(t, "kill", id, "KILL").ok()
	testkit.Eventually(t, "it ends", func() bool { return stateOf(t, id).Status == "stopped" })
	peapod(t, "pause", id).wants(1, "container not running")
}

func TestDeletePaused(t *testing.T) {
	id := detached(t, nil)
	peapod(t, "pause", id).ok()
	peapod(t, "delete", "--force", id).ok()
	peapod(t, "state", id).wants(1, "does not exist")
}

// TestForkBomb: with a limit of 64 there are no more.
func TestForkBomb(t *testing.T) {
	needController(t, "pids", "pids")
	limit := int64(64)
	id := newName(t)
	peapod(t, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}},
		"(i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done) 2>/dev/null; exec sleep 1000"), id).ok()
	pids := func() uint64 { return stats(t, id).Pids.Current }
	// The shell that met the limit was one of them, and has given up.
	testkit.Eventually(t, "all are there", func() bool { return pids() >= 63 })
	if n := pids(); n > 64 {
		t.Errorf("%d processes", n)
	}
	if r := peapod(t, "exec", id, "/bin/sh", "-c", "sleep 0 & sleep 0 & wait"); r.code == 0 {
		t.Error("there is room for more")
	}
	peapod(t, "update", "--pids-limit", "100", id).ok()
	if s := stats(t, id); s.Pids.Limit != 100 {
		t.Errorf("limit %d", s.Pids.Limit)
	}
	peapod(t, "delete", "-f", id).ok()
}

// containerStats is some of what events prints.
type containerStats struct {
	CPU struct {
		Usage struct{ Total uint64 }
	}
	Memory struct {
		Usage struct{ Limit, Usage uint64 }
	}
	Pids struct{ Current, Limit uint64 }
}

func stats(t testing.TB, id string) containerStats {
	t.Helper()
	e := decode[struct {
		Type, ID string
		Data     containerStats
	}](t, peapod(t, "events", "--stats", id).ok())
	if e.Type != "stats" || e.ID != id {
		t.Fatalf("%+v", e)
	}
	return e.Data
}

// TestCPUQuota: a busy loop gets its fifth of a core, and twice as much after an
// update that gives the quota alone.
func TestCPUQuota(t *testing.T) {
	needController(t, "cpu", "cpu")
	quota, period := int64(20000), uint64(100000)
	id := newName(t)
	peapod(t, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}, "while :; do :; done"), id).ok()
	share := func() float64 {
		before, start := stats(t, id).CPU.Usage.Total, time.Now()
		time.Sleep(time.Second) // the measurement itself: ten periods
		return float64(stats(t, id).CPU.Usage.Total-before) / float64(time.Since(start))
	}
	// Less is this machine's load, more would be the limit's fault.
	if s := share(); s > 0.26 || s < 0.02 {
		t.Errorf("%.3f of a core, not 0.2", s)
	} else {
		t.Logf("%.3f of a core", s)
	}
	peapod(t, "update", "--cpu-quota", "40000", id).ok()
	if s := share(); s > 0.5 {
		t.Errorf("%.3f of a core, not 0.4", s)
	}
	peapod(t, "delete", "-f", id).ok()
}

// TestMemoryLimit: who takes more is killed, and events tells.
func TestMemoryLimit(t *testing.T) {
	needController(t, "memory", "memory")
	limit := int64(32 << 20)
	id := newName(t)
	peapod(t, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}, "exec sleep 1000"), id).ok()
	events := begin(t, command(t, "events", "--interval", "1s", id))
	events.sees(`"type":"stats"`)
	peapod(t, "exec", id, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1").wants(137)
	events.sees(`{"type":"oom","id":"` + id + `"}`)
	peapod(t, "update", id, "--memory-swap", "-1").ok() // options behind the id
	peapod(t, "update", id, "--memory", "200M").ok()
	peapod(t, "exec", id, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1").ok()
	if s := stats(t, id); s.Memory.Usage.Limit != 200<<20 || s.Memory.Usage.Usage == 0 {
		t.Errorf("%+v", s.Memory)
	}
	peapod(t, "kill", id, "KILL").ok()
	if code := events.status(); code != 0 {
		t.Errorf("events ends with status %d", code)
	}
	peapod(t, "events", "--stats", id).wants(1, "container not running")
	peapod(t, "delete", id).ok()
}

func TestUpdateResources(t *testing.T) {
	needController(t, "pids", "pids")
	id := detached(t, nil)
	feed(t, strings.NewReader(`{"pids": {"limit": 77}, "devices": [{"allow": false, "access": "rwm"}]}`), "update", "-r", "-", id).ok()
	if s := stats(t, id); s.Pids.Limit != 77 {
		t.Errorf("limit %d", s.Pids.Limit)
	}
	peapod(t, "update", "--pids-limit", "-1", id).ok()
	if s := stats(t, id); s.Pids.Limit != 0 {
		t.Errorf("limit %d", s.Pids.Limit)
	}
	peapod(t, "update", "--memory", "1X", id).wants(1, `--memory "1X"`, "64M")
	peapod(t, "update", "--cpu-share", "-1", id).wants(1, "--cpu-share")
	peapod(t, "update", "--l3-cache-schema", "x", id).wants(1, "RDT")
	peapod(t, "update", id+"x").wants(1, "does not exist")
}

// TestWriteLimit: a megabyte a second takes the second that it should.
func TestWriteLimit(t *testing.T) {
	needController(t, "blkio", "io")
	dir := t.TempDir()
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		t.Fatal(err)
	}
	major, minor := unix.Major(s.Dev), unix.Minor(s.Dev)
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d/queue", major, minor)); err != nil {
		t.Skip("the directory for temporary files is on no disk of its own")
	}
	device := specs.LinuxThrottleDevice{Rate: 1 << 20}
	device.Major, device.Minor = int64(major), int64(minor)
	b := hostShell(t, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{device}}},
		"exec dd if=/dev/zero of=/out/file bs=1M count=2 oflag=direct")
	config := decode[specs.Spec](t, read(t, b+"/config.json"))
	config.Mounts = append(config.Mounts[:len(config.Mounts)-1], specs.Mount{Destination: "/tmp", Type: "tmpfs"})
	config.Mounts = append(config.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}})
	config.Process.Args[2] = strings.Replace(config.Process.Args[2], "/out/", "/mnt/", 1)
	writeJSON(t, b+"/config.json", config)
	start := time.Now()
	r := peapod(t, "run", "-b", b, newName(t))
	if strings.Contains(r.stderr, "Invalid argument") {
		t.Skip("the file system cannot write past its cache")
	}
	r.ok()
	if took := time.Since(start); took < time.Second {
		t.Errorf("2 MiB at 1 MiB/s took %v", took)
	}
}

// TestAffinity: the container has all CPUs, whatever the caller may use.
func TestAffinity(t *testing.T) {
	tool, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip("no taskset")
	}
	all := strings.TrimSpace(read(t, "/sys/devices/system/cpu/online"))
	id := newName(t)
	b := hostShell(t, &specs.LinuxResources{}, "grep Cpus_allowed_list /proc/self/status; exec sleep 1000")
	run := command(t, "run", "-b", b, id)
	run.Args = append([]string{tool, "-c", "0"}, run.Args...)
	run.Path = tool
	begin(t, run).sees("Cpus_allowed_list:\t" + all + "\n")
	cmd := command(t, "exec", id, "/bin/grep", "Cpus_allowed_list", "/proc/self/status")
	cmd.Args, cmd.Path = append([]string{tool, "-c", "0"}, cmd.Args...), tool
	if got := finish(t, cmd).ok(); got != "Cpus_allowed_list:\t"+all {
		t.Errorf("exec: %q, not %s", got, all)
	}
	peapod(t, "delete", "-f", id).ok()
}

// TestManyGroups: none is left of many containers, made and deleted eight at a
// time.
func TestManyGroups(t *testing.T) {
	count := 64
	if n, err := strconv.Atoi(os.Getenv("PEAPOD_TEST_CONTAINERS")); err == nil {
		count = n
	}
	b := newBundle(t, nil, "echo")
	name := newName(t)
	var all sync.WaitGroup
	turns := make(chan int)
	for range 8 {
		all.Go(func() {
			for i := range turns {
				if r := peapod(t, "run", "-b", b, fmt.Sprintf("%s-%d", name, i)); r.code != 0 {
					t.Errorf("%d: %s", i, r.stderr)
				}
			}
		})
	}
	for i := range count {
		turns <- i
	}
	close(turns)
	all.Wait()
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/peapod/" + name + "*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/peapod/" + name + "*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestStatsTable shows a container and a pod.
func TestStatsTable(t *testing.T) {
	id := detached(t, nil)
	lines := strings.Split(peapod(t, "stats", "--no-stream", "-i", "0.2", id).ok(), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "NAME") || !strings.HasPrefix(lines[1], id) {
		t.Errorf("%q", lines)
	}
	out := decode[struct {
		Items []map[string]json.RawMessage
	}](t, peapod(t, "stats", "--no-stream", "-i", "0.1", "-o", "json").ok())
	if len(out.Items) != 1 || string(out.Items[0]["name"]) != strconv.Quote(id) || string(out.Items[0]["pids"]) == "0" {
		t.Errorf("%v", out.Items)
	}
	peapod(t, "stats", "nothing").wants(1, "no such pod or container")
}
