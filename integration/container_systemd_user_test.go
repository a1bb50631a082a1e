package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// newLingering is a user whose systemd runs. His commands begin in a group of root's,
// where he can move nothing, as those of a login session do.
func newLingering(t *testing.T) *ordinary {
	t.Helper()
	const uid = 1000
	testkit.NeedRoot(t)
	if _, err := os.Stat(fmt.Sprintf("/run/user/%d/systemd/private", uid)); err != nil {
		t.Skip("needs a systemd of user 1000: make test-vm MACHINE=systemd")
	}
	return newUser(t, uid, fmt.Sprintf("/run/user/%d", uid))
}

const lingeringGroup = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"

func (o *ordinary) systemctl(args ...string) string {
	o.t.Helper()
	cmd := o.self(exec.CommandContext(testkit.Soon(o.t), "systemctl", append([]string{"--user"}, args...)...))
	return finish(o.t, cmd).ok()
}

func TestSystemdOfUserLimits(t *testing.T) {
	o := newLingering(t)
	o.feelsLimits(groupsBelow(lingeringGroup + "/user.slice"))
}

// A scope that was asked for, with its properties.
func TestSystemdOfUserScope(t *testing.T) {
	o := newLingering(t)
	o.clears("c")
	r := memoryOf(64 << 20)
	pids, quota, period := int64(50), int64(20000), uint64(100000)
	r.Pids, r.CPU = &specs.LinuxPids{Limit: &pids}, &specs.LinuxCPU{Quota: &quota, Period: &period}
	o.peapod("--systemd-cgroup", "run", "-d", "-b", o.limited(r, "hold"), "c").ok()
	show := func(property string) string { return o.systemctl("show", "-p", property, "--value", "peapod-c.scope") }
	for property, want := range map[string]string{
		"ActiveState": "active", "MemoryMax": "67108864", "TasksMax": "50", "CPUQuotaPerSecUSec": "200ms", "Delegate": "yes", "Slice": "user.slice",
	} {
		if got := show(property); got != want {
			t.Errorf("%s is %q, not %q", property, got, want)
		}
	}
	if dir := o.group("c"); dir != lingeringGroup+"/user.slice/peapod-c.scope" {
		t.Errorf("it is in %s", dir)
	}
	o.peapod("update", "--memory", "128M", "--memory-swap", "128M", "c").ok()
	o.systemctl("daemon-reload")
	if s := o.stats("c"); show("MemoryMax") != "134217728" || s.Memory.Usage.Limit != 128<<20 {
		t.Errorf("after an update: %s, %d", show("MemoryMax"), s.Memory.Usage.Limit)
	}
	o.peapod("--systemd-cgroup", "delete", "-f", "c").ok()
	if got := show("LoadState"); got != "not-found" {
		t.Errorf("after delete: %s", got)
	}
	named := o.bundle(func(s *specs.Spec) { s.Linux.CgroupsPath = "lab.slice:mine:x" }, "cat", "/proc/self/cgroup")
	for range 2 {
		if got := o.peapod("--systemd-cgroup", "run", "-b", named, "c").ok(); !strings.HasSuffix(got, "/lab.slice/mine-x.scope") && got != "0::/" {
			t.Errorf("it is in %s", got)
		}
	}
	o.systemctl("stop", "lab.slice")
}

// In a unit with Delegate=yes peapod makes its own groups, in another one its systemd
// makes scopes; what is not delegated is named, with what root can do.
func TestSystemdOfUserUnit(t *testing.T) {
	o := newLingering(t)
	inside := func(delegate string, args ...string) *result {
		run := []string{"--user", "--wait", "--pipe", "--quiet", "--collect", "--property=Delegate=" + delegate, "--unit=peapodtest", "--setenv=XDG_DATA_HOME=" + o.home + "/data", binary}
		return finish(t, o.self(exec.CommandContext(testkit.Soon(t), "systemd-run", append(run, args...)...)))
	}
	unit := func(args ...string) *result { return inside("yes", args...) }
	bundle := o.bundle(func(s *specs.Spec) {
		s.Linux.Resources = memoryOf(64 << 20)
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.CgroupNamespace })
	}, "cat", "/proc/self/cgroup")
	if got := unit("run", "-b", bundle, "c").ok(); !strings.HasSuffix(got, "/app.slice/peapodtest.service/peapod/c.container") {
		t.Errorf("it is in %s", got)
	}
	file := o.manifest(o.pod("p", nil, podLimits(probing("cat", "/proc/self/cgroup"), "64Mi", "1")))
	unit("pod", "run", file).ok()
	for _, args := range [][]string{{"run", "-b", bundle, "c"}, {"--systemd-cgroup", "run", "-b", bundle, "c"}} {
		if got := inside("no", args...).ok(); !strings.HasSuffix(got, "/user.slice/peapod-c.scope") {
			t.Errorf("%v: it is in %s", args, got)
		}
	}
	inside("no", "pod", "run", file).ok()

	cpus := o.limited(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, "echo")
	o.peapod("run", "-b", cpus, "c").wants(1, "cpuset controller is not available: it is not delegated to this user", "systemctl edit user@.service", "Delegate=cpu cpuset io memory pids")
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

// The README's example, with its limits.
func TestSystemdOfUserHello(t *testing.T) {
	o := newLingering(t)
	data := read(t, "../examples/hello.json")
	file := o.home + "/hello.json"
	if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	before := groupsBelow(lingeringGroup + "/user.slice")()
	t.Cleanup(func() { o.peapod("pod", "rm", "-f", "hello") })
	if got := o.peapod("pod", "run", "-d", file).ok(); !strings.HasPrefix(got, "hello") {
		t.Errorf("it says %q", got)
	}
	testkit.Eventually(t, "it serves", func() bool {
		r, err := http.Get("http://127.0.0.1:8080/")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == http.StatusOK
	})
	dir := lingeringGroup + "/user.slice/peapod-hello.pod.scope"
	for name, want := range map[string]string{"web/memory.max": "67108864", "web/cpu.max": "50000 100000", "kv/cpu.max": "25000 100000"} {
		if got := strings.TrimSpace(read(t, dir+"/"+name)); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if got := o.peapod("stats", "--no-stream").ok(); !strings.Contains(got, "hello") || !strings.Contains(got, "/128M") {
		t.Errorf("stats:\n%s", got)
	}
	o.peapod("pod", "rm", "-f", "hello").ok()
	if now := groupsBelow(lingeringGroup + "/user.slice")(); len(now) != len(before) {
		t.Errorf("left: %v", now)
	}
}
