package integration

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestCPUQuota: a busy loop gets its fifth of a core, and twice as much after an
// update that gives the quota alone.
func TestCPUQuota(t *testing.T) {
	testCPUQuota(t)
}

func testCPUQuota(t *testing.T, options ...string) {
	needController(t, "cpu", "cpu")
	quota, period := int64(20000), uint64(100000)
	id := newName(t)
	peapod(t, append(options, "run", "-d", "-b", hostShell(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}}, "while :; do :; done"), id)...).ok()
	checkShare(t, id, 0.2)
	peapod(t, "update", "--cpu-quota", "40000", id).ok()
	checkShare(t, id, 0.4)
	peapod(t, "delete", "-f", id).ok()
}

// checkShare measures for three seconds what a container uses of a core. More
// than a tenth above want is never right. Less may be due to others: not where a
// core's worth of the time was idle and the kernel's timers, which begin a period,
// came in time.
func checkShare(t testing.TB, id string, want float64) {
	t.Helper()
	stats(t, id) // the binary is in the cache
	idle, begun := idleTime(t), time.Now()
	before := stats(t, id).CPU.Usage.Total
	first := time.Now()
	late := lateness(3 * time.Second) // the measurement itself: thirty periods
	last := time.Now()
	used := float64(stats(t, id).CPU.Usage.Total - before)
	ended, spare := time.Now(), idleTime(t)-idle
	// The counters were read somewhere within the two commands.
	least, most := used/float64(ended.Sub(begun)), used/float64(last.Sub(first))
	quiet := spare >= ended.Sub(begun) && late < 100*time.Millisecond
	verdict := t.Logf
	if least > 1.1*want || most < 0.9*want && quiet {
		verdict = t.Errorf
	}
	verdict("%.3f to %.3f of a core, of %.1f; %v of %v in %d cores were idle; timers were late by %v",
		least, most, want, spare, ended.Sub(begun).Round(time.Millisecond), runtime.NumCPU(), late)
}

// lateness sleeps for d, in parts, and tells by how much these were longer than
// asked for, beyond what a timer takes anyway.
func lateness(d time.Duration) (late time.Duration) {
	const part, usual = 10 * time.Millisecond, 2 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < d; {
		at := time.Now()
		time.Sleep(part)
		late += max(time.Since(at)-part-usual, 0)
	}
	return late.Round(time.Millisecond)
}

// idleTime is for how long the machine's processors were idle, together.
func idleTime(t testing.TB) time.Duration {
	t.Helper()
	line, _, _ := strings.Cut(read(t, "/proc/stat"), "\n")
	f := strings.Fields(line)
	if len(f) < 6 || f[0] != "cpu" {
		t.Fatalf("/proc/stat begins with %q", line)
	}
	var sum time.Duration
	for _, n := range f[4:6] { // idle, and waiting for a disk
		ticks, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
	}
	return sum
}

// TestCPUList: what runs in the container, from the first process on, has the
// CPUs of its list and no others, also those that are executed there, and after
// an update.
func TestCPUList(t *testing.T) {
	testCPUList(t)
}

func testCPUList(t *testing.T, options ...string) {
	needController(t, "cpuset", "cpuset")
	if runtime.NumCPU() < 2 {
		t.Skip("there is one CPU only")
	}
	id := newName(t)
	const show = "grep Cpus_allowed_list /proc/self/status"
	b := hostShell(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "1"}}, show+"; exec sleep 1000")
	begin(t, command(t, append(options, "run", "-b", b, id)...)).sees("Cpus_allowed_list:\t1\n")
	for _, list := range []string{"1", "0-1", "0"} {
		peapod(t, "update", "--cpuset-cpus", list, id).ok()
		if got := peapod(t, "exec", id, "/bin/sh", "-c", show).ok(); got != "Cpus_allowed_list:\t"+list {
			t.Errorf("exec: %q, not %s", got, list)
		}
		if got := read(t, fmt.Sprintf("/proc/%d/status", stateOf(t, id).Pid)); !strings.Contains(got, "Cpus_allowed_list:\t"+list+"\n") {
			t.Errorf("the first process, after an update to %s: %s", list, got)
		}
	}
	peapod(t, "delete", "-f", id).ok()
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
