package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func needSystemd(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs systemd and root")
	}
}

// TestSystemdLimits: in a scope of systemd limits are what they are elsewhere.
func TestSystemdLimits(t *testing.T) {
	needSystemd(t)
	for name, test := range map[string]func(t *testing.T, options ...string){
		"memory": testMemoryLimit, "fork bomb": testForkBomb, "one process": testOnePid,
		"devices": testDeviceRules, "cpu quota": testCPUQuota, "cpu list": testCPUList, "pause": testPause, "write": testWriteLimit,
	} {
		t.Run(name, func(t *testing.T) { test(t, "--systemd-cgroup") })
	}
}

// TestSystemdScope: a container in a scope that systemd knows, with its limits,
// until the container is deleted.
func TestSystemdScope(t *testing.T) {
	needSystemd(t)
	id := newName(t)
	limit, pids := int64(64<<20), int64(50)
	quota, period := int64(20000), uint64(100000)
	b := newBundle(t, func(s *specs.Spec) {
		s.Linux.CgroupsPath = "system.slice:peapodtest:" + id
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
		s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}, "wait")
	unit := "peapodtest-" + id + ".scope"
	show := func(property string) string {
		out, err := exec.Command("systemctl", "show", "-p", property, "--value", unit).CombinedOutput()
		if err != nil {
			t.Fatalf("systemctl: %v, %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	peapod(t, "--systemd-cgroup", "run", "-d", "-b", b, id).ok()
	for property, want := range map[string]string{
		"ActiveState": "active", "MemoryMax": "67108864", "TasksMax": "50", "CPUQuotaPerSecUSec": "200ms", "Delegate": "yes", "Slice": "system.slice",
	} {
		if got := show(property); got != want {
			t.Errorf("%s is %q, not %q", property, got, want)
		}
	}
	if group := show("ControlGroup"); !strings.HasSuffix(group, "/system.slice/"+unit) ||
		strings.TrimSpace(read(t, "/sys/fs/cgroup"+group+"/memory.max")) != "67108864" {
		t.Errorf("group %s", group)
	}
	if s := stats(t, id); s.Pids.Current < 1 || s.Pids.Limit != 50 {
		t.Errorf("%+v", s)
	}
	peapod(t, "--systemd-cgroup", "update", "--memory", "128M", id).ok()
	if got := show("MemoryMax"); got != "134217728" {
		t.Errorf("MemoryMax after an update is %s", got)
	}
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("daemon-reload: %v, %s", err, out)
	}
	if s := stats(t, id); s.Memory.Usage.Limit != 128<<20 {
		t.Errorf("limit after a reload: %d", s.Memory.Usage.Limit)
	}
	peapod(t, "--systemd-cgroup", "pause", id).ok()
	peapod(t, "--systemd-cgroup", "resume", id).ok()
	peapod(t, "exec", id, "probe", "echo").ok()
	peapod(t, "--systemd-cgroup", "delete", "-f", id).ok()
	if got := show("LoadState"); got != "not-found" {
		t.Errorf("after delete: %s", got)
	}
	// The name is free at once, also after an end by itself.
	again := newBundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:peapodtest:" + id }, "echo")
	for range 3 {
		peapod(t, "--systemd-cgroup", "run", "-b", again, id).ok()
	}
}
