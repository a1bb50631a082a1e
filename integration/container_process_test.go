package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// waiting creates a container that waits, started, and returns its id and pid.
func waiting(t *testing.T, change func(*specs.Spec)) (id string, pid int) {
	t.Helper()
	id = newName(t)
	peapod(t, "run", "-d", "-b", newBundle(t, change, "wait"), id).ok()
	t.Cleanup(func() { peapod(t, "delete", "-f", id) })
	return id, stateOf(t, id).Pid
}

// What schedulers are told holds for the container's process and for others
// that are executed in it.
func TestProcessAttributes(t *testing.T) {
	id, pid := waiting(t, func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	})
	check := func(pid int) {
		t.Helper()
		attr, err := unix.SchedGetAttr(pid, 0)
		if err != nil || attr.Policy != unix.SCHED_BATCH || attr.Nice != 5 || attr.Flags&1 == 0 {
			t.Errorf("scheduler %+v, %v", attr, err)
		}
		if n, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0); n != 2<<13|6 {
			t.Errorf("ioprio %#x", n)
		}
		if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/personality", pid)); strings.TrimSpace(string(data)) != "00000008" {
			t.Errorf("personality %s", data)
		}
	}
	check(pid)
	file := filepath.Join(t.TempDir(), "pid")
	peapod(t, "exec", "-d", "--pid-file", file, id, "probe", "wait").ok()
	data, _ := os.ReadFile(file)
	second := decode[int](t, string(data))
	check(second)
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(second, &cpus); err != nil || cpus.Count() != 1 || !cpus.IsSet(0) {
		t.Errorf("executed on %v, %v", cpus, err)
	}
	if err := unix.SchedGetaffinity(pid, &cpus); err != nil || unix.SchedGetaffinity(0, &cpus) != nil || cpus.Count() == 1 && cpus.IsSet(0) {
		t.Logf("the machine has one CPU")
	}
}

// A machine without memory nodes says that there are none.
func TestMemoryPolicy(t *testing.T) {
	change := func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	}
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		peapod(t, "run", "-b", newBundle(t, change), newName(t)).wants(1, "linux.memoryPolicy", "function not implemented")
		return
	}
	_, pid := waiting(t, change)
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", pid))
	if err != nil || !strings.Contains(string(maps), " bind=static:0 ") {
		t.Errorf("%.200s, %v", maps, err)
	}
}

// Offsets move the clocks of a time namespace, in which exec is too, and which
// others can join.
func TestTimeNamespace(t *testing.T) {
	id, pid := waiting(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1000}, "boottime": {Secs: 5000000, Nanosecs: 5}}
	})
	ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", pid))
	host, _ := os.Readlink("/proc/self/ns/time")
	if ns == host || ns == "" {
		t.Errorf("time namespace %s", ns)
	}
	uptime := func(text string) float64 {
		var seconds float64
		fmt.Sscan(text, &seconds)
		return seconds
	}
	data, _ := os.ReadFile("/proc/uptime")
	if in, out := uptime(peapod(t, "exec", id, "probe", "cat", "/proc/uptime").ok()), uptime(string(data)); in < out+4999990 {
		t.Errorf("uptime %v inside, %v outside", in, out)
	}
	other := reportOf(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: fmt.Sprintf("/proc/%d/ns/time", pid)})
	})
	if other.Namespaces["time"] != ns {
		t.Errorf("joined %s, want %s", other.Namespaces["time"], ns)
	}
	inside(t, func(s *specs.Spec) {
		userNamespace(t, s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
	}, "cat /proc/self/timens_offsets", "monotonic           1         0")
}

// HOME comes from the container's own /etc/passwd, of duplicates the last
// counts, and exec --process has what its file says.
func TestEnvironment(t *testing.T) {
	passwd := hostDir(t, "user:x:1000:1000::/home/mounted:/bin/sh\n")
	write := func(s *specs.Spec) {
		os.WriteFile(s.Root.Path+"/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/image:/bin/sh\n"), 0o644)
	}
	env := func(change func(*specs.Spec)) string {
		t.Helper()
		return strings.Join(reportOf(t, func(s *specs.Spec) {
			write(s)
			s.Process.Env = []string{"PATH=/bin", "A=1", "B=2", "A=3"}
			change(s)
		}).Env, " ")
	}
	for want, change := range map[string]func(*specs.Spec){
		"HOME=/root":       func(s *specs.Spec) {},
		"HOME=/home/image": func(s *specs.Spec) { s.Process.User.UID = 1000 },
		"HOME=/":           func(s *specs.Spec) { s.Process.User.UID = 7 },
		"HOME=/home/mounted": func(s *specs.Spec) {
			s.Process.User.UID = 1000
			mounts(specs.Mount{Destination: "/etc/passwd", Source: passwd + "/file", Options: []string{"bind"}})(s)
		},
		"HOME=/mine": func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "HOME=/mine") },
	} {
		if got, all := env(change), "PATH=/bin B=2 A=3 "+want; got != all {
			t.Errorf("got %q, want %q", got, all)
		}
	}
	if got := env(func(s *specs.Spec) {
		os.Remove(s.Root.Path + "/etc/passwd")
		unix.Mkfifo(s.Root.Path+"/etc/passwd", 0o644)
	}); !strings.HasSuffix(got, " HOME=/") {
		t.Errorf("with a FIFO: %q", got)
	}
	id, _ := waiting(t, func(s *specs.Spec) { write(s); s.Process.Env = append(s.Process.Env, "SECRET=1") })
	file := filepath.Join(t.TempDir(), "process.json")
	writeJSON(t, file, specs.Process{Args: []string{"/bin/probe", "report"}, Cwd: "/", Env: []string{"X=1"}, User: specs.User{UID: 1000}})
	r := decode[struct{ Env []string }](t, peapod(t, "exec", "-p", file, id).ok())
	if got := strings.Join(r.Env, " "); got != "X=1 HOME=/home/image" {
		t.Errorf("exec -p: %q", got)
	}
}

// What the machine does not have is told and left out.
func TestIgnoredAttributes(t *testing.T) {
	for _, enabled := range []string{"/sys/module/apparmor/parameters/enabled", "/sys/fs/selinux/enforce"} {
		if data, err := os.ReadFile(enabled); err == nil && strings.HasPrefix(string(data), "Y") {
			t.Skip("the machine has " + enabled)
		}
	}
	r := peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) {
		s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_FLY")
		s.Process.ApparmorProfile, s.Process.SelinuxLabel, s.Linux.MountLabel = "box", "a:b:c:s0", "a:b:d:s0"
	}, "echo", "fine"), newName(t))
	if r.ok() != "fine" {
		t.Error(r.stdout)
	}
	r.wants(0, "warning", "CAP_FLY", "AppArmor profile is ignored", "box", "SELinux label is ignored", "a:b:c:s0")
}
