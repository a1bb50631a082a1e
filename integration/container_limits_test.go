package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
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

// These tests take options of peapod that choose who makes the group.

func counterOf(t testing.TB, pid int) func() uint64 {
	return func() uint64 {
		text := read(t, fmt.Sprintf("/proc/%d/stat", pid))
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		n, _ := strconv.ParseUint(f[11], 10, 64) // utime
		return n
	}
}

func TestPause(t *testing.T) {
	testPause(t)
}

func testPause(t *testing.T, options ...string) {
	id := newName(t)
	peapod(t, append(options, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{}, "while :; do :; done"), id)...).ok()
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
	testForkBomb(t)
}

func testForkBomb(t *testing.T, options ...string) {
	needController(t, "pids", "pids")
	limit := int64(64)
	id := newName(t)
	peapod(t, append(options, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}},
		"(i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done) 2>/dev/null; exec sleep 1000"), id)...).ok()
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

// TestOnePid: a limit of one has room for the first process, and for no other,
// though others help to start it.
func TestOnePid(t *testing.T) {
	testOnePid(t)
}

func testOnePid(t *testing.T, options ...string) {
	needController(t, "pids", "pids")
	id, limit := newName(t), int64(1)
	b := hostShell(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, "exec sleep 1000")
	peapod(t, append(options, "run", "-d", "-b", b, id)...).ok()
	peapod(t, "exec", id, "true").wants(255, "resource temporarily unavailable")
	// The command is forked by what joins the container, on v1 on a thread there.
	peapod(t, "update", "--pids-limit", "4", id).ok()
	peapod(t, "exec", id, "true").ok()
	peapod(t, "delete", "-f", id).ok()
}

// TestDeviceRules: what is allowed gets to the driver, which there is none of
// here, and what is forbidden does not; an update makes the one the other.
func TestDeviceRules(t *testing.T) {
	testDeviceRules(t)
}

func testDeviceRules(t *testing.T, options ...string) {
	rules := func(allowed int64) []specs.LinuxDeviceCgroup {
		major := int64(240) // LANANA: for local use
		return []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: &major, Minor: &allowed, Access: "r"}}
	}
	id := newName(t)
	b := hostShell(t, &specs.LinuxResources{Devices: rules(1)}, "mknod /tmp/1 c 240 1; mknod /tmp/2 c 240 2; echo made; exec sleep 1000")
	config := decode[specs.Spec](t, read(t, b+"/config.json"))
	mayMakeDevices(&config)
	writeJSON(t, b+"/config.json", config)
	begin(t, command(t, append(options, "run", "-b", b, id)...)).sees("made")
	const allowed, forbidden = "No such device", "Operation not permitted"
	check := func(action, want string) {
		t.Helper()
		if r := peapod(t, "exec", id, "/bin/sh", "-c", action); r.code == 0 || !strings.Contains(strings.ToLower(r.stderr), strings.ToLower(want)) {
			t.Errorf("%s: status %d, %s, not %s", action, r.code, r.stderr, want)
		}
	}
	check(": < /tmp/1", allowed)
	check(": > /tmp/1", forbidden)
	check(": < /tmp/2", forbidden)
	peapod(t, "exec", id, "/bin/sh", "-c", "head -c 9 /dev/zero > /dev/null").ok()
	file := t.TempDir() + "/resources.json"
	writeJSON(t, file, specs.LinuxResources{Devices: rules(2)})
	peapod(t, "update", "-r", file, id).ok()
	check(": < /tmp/2", allowed)
	check(": < /tmp/1", forbidden)
	peapod(t, "exec", id, "/bin/sh", "-c", "head -c 9 /dev/zero > /dev/null").ok()
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

// TestMemoryLimit: who takes more is killed, and events tells.
func TestMemoryLimit(t *testing.T) {
	testMemoryLimit(t)
}

func testMemoryLimit(t *testing.T, options ...string) {
	needController(t, "memory", "memory")
	limit := int64(32 << 20)
	id := newName(t)
	peapod(t, append(options, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}, "exec sleep 1000"), id)...).ok()
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
	peapod(t, "update", "--l3-cache-schema", "x", id).wants(1, "resctrl")
	peapod(t, "update", id+"x").wants(1, "does not exist")
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
