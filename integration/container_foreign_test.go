package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// What a foreign host does to its cgroup mounts, as a script for a mount
// namespace of its own.
const (
	readOnlyGroups = `while read -r a b c d dir rest; do
		case $dir in /sys/fs/cgroup*) mount -o remount,bind,ro "$dir" || exit 99;; esac
	done </proc/self/mountinfo`
	unifiedGroups = `mount -t cgroup2 none /sys/fs/cgroup || exit 99`
	hiddenGroups  = `mount -t tmpfs none /sys/fs/cgroup || exit 99`
)

// foreign runs the binary where script has changed the mounts.
func foreign(t testing.TB, script string, args ...string) *result {
	t.Helper()
	return finish(t, foreignCommand(t, script, args...))
}

func foreignCommand(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	needCommand(t, "unshare")
	shell := []string{"-m", "sh", "-c", script + "\nexec \"$@\"", "sh", binary}
	return exec.CommandContext(testkit.Soon(t), "unshare", append(shell, args...)...)
}

func limitMemory(s *specs.Spec) {
	limit := int64(64 << 20)
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
}

// Where no cgroup can be made, a container without limits runs and a warning
// says what it does without; limits are refused before anything is made.
func TestForeignWithoutGroups(t *testing.T) {
	testkit.NeedRoot(t)
	for name, host := range map[string]struct{ script, why string }{
		"read-only": {readOnlyGroups, "remount it read-write"},
		"none":      {hiddenGroups, "mount -t cgroup2"},
	} {
		t.Run(name, func(t *testing.T) {
			id := newName(t)
			b := newBundle(t, mayMakeDevices, "cat", "/proc/self/status", ";", "mkdir", "/sys/fs/cgroup/x", ";", "echo", "ran")
			r := foreign(t, host.script, "run", "-b", b, id)
			if got := r.ok(); !strings.HasSuffix(got, lines("EROFS", "ran")) {
				t.Errorf("the container says %q", got)
			}
			_, bounding, _ := strings.Cut(r.stdout, "CapBnd:\t")
			if caps, err := strconv.ParseUint(bounding[:min(16, len(bounding))], 16, 64); err != nil || caps&(1<<unix.CAP_MKNOD) != 0 {
				t.Errorf("it may make devices: %x, %v", caps, err)
			}
			r.wants(0, "warning", "cannot be paused, limited", "CAP_MKNOD is not given", host.why)
			foreign(t, host.script, "run", "-b", newBundle(t, limitMemory, "echo"), id).
				wants(1, "limits need a cgroup", host.why, "leave the limits out")
			foreign(t, host.script, "run", "-b", newBundle(t, onHostPids, "echo"), id).wants(1, "pid namespace of its own", host.why)
			if left := peapod(t, "list", "-q").ok(); strings.Contains(left, id) {
				t.Errorf("left: %s", left)
			}
			if mode, _ := cgroups.HostMode(); name == "read-only" && mode != cgroups.V2 {
				// A host with v2 alone is another one to peapod.
				host.script = "mount -t cgroup2 none /sys/fs/cgroup && mount -o remount,bind,ro /sys/fs/cgroup || exit 99"
			}
			foreignNamespaces(t, host.script)
			foreignLife(t, host.script, host.why)
		})
	}
}

// foreignNamespaces: the container has its own, all the same.
func foreignNamespaces(t *testing.T, script string) {
	t.Helper()
	r := foreign(t, script, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Hostname = "its-own" }, "report"), newName(t))
	for kind, inside := range decode[report.Process](t, r.ok()).Namespaces {
		host, err := os.Readlink("/proc/self/ns/" + kind)
		shared := kind == "user" || strings.HasPrefix(kind, "time") || kind == "cgroup"
		if err != nil || host == inside && !shared {
			t.Errorf("the %s namespace is the host's: %s, %v", kind, host, err)
		}
	}
	if name, err := os.Hostname(); err != nil || name == "its-own" {
		t.Errorf("the host is called %q, %v", name, err)
	}
}

// foreignLife is that of a container without a cgroup, command by command.
func foreignLife(t *testing.T, script, why string) {
	id := newName(t)
	foreign(t, script, "run", "-d", "-b", newBundle(t, nil, "hold"), id).ok()
	if got := foreign(t, script, "exec", id, "probe", "echo", "inside").ok(); got != "inside" {
		t.Errorf("exec says %q", got)
	}
	pids := decode[[]int](t, foreign(t, script, "ps", "-f", "json", id).ok())
	if len(pids) != 1 {
		t.Errorf("ps says %v", pids)
	}
	for _, args := range [][]string{{"pause", id}, {"resume", id}, {"update", "--memory", "64M", id}, {"events", "--stats", id}} {
		foreign(t, script, args...).wants(1, "has no cgroup", why)
		peapod(t, args...).wants(1, "has no cgroup", why) // and from where there are some
	}
	foreign(t, script, "kill", "--all", id, "KILL").ok()
	testkit.Eventually(t, "the container has stopped", func() bool {
		return strings.Contains(foreign(t, script, "state", id).ok(), `"stopped"`)
	})
	foreign(t, script, "delete", id).ok()

	foreign(t, script, "run", "-d", "-b", newBundle(t, nil, "hold"), id).ok()
	pids = decode[[]int](t, peapod(t, "ps", "-f", "json", id).ok())
	foreign(t, script, "delete", "-f", id).ok()
	// Whoever became its parent has to reap it yet.
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pids[0])); err == nil && !strings.Contains(string(text), ") Z ") {
		t.Errorf("process %d has outlived its container: %s", pids[0], text)
	}
}

func mayMakeDevices(s *specs.Spec) {
	c := s.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective} {
		*set = append(*set, "CAP_MKNOD")
	}
}

// The same for a pod.
func TestForeignPod(t *testing.T) {
	testkit.NeedRoot(t)
	for name, host := range map[string]struct{ script, why string }{
		"read-only": {readOnlyGroups, "remount it read-write"},
		"none":      {hiddenGroups, "mount -t cgroup2"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := newName(t)
			r := foreign(t, host.script, "pod", "run", foreignPod(t, pod, ""))
			r.wants(0, "has no cgroup", host.why)
			if !strings.Contains(r.stdout, "a | ran") {
				t.Errorf("the pod says %q", r.stdout)
			}
			foreign(t, host.script, "pod", "rm", "-f", pod).ok()
			foreign(t, host.script, "pod", "run", foreignPod(t, pod, "    resources: {limits: {memory: 64Mi}}\n")).
				wants(1, "limits need a cgroup", host.why)
		})
	}
}

func foreignPod(t testing.TB, name, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pod.yaml")
	text := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: a\n    image: %s\n    command: [probe, echo, ran]\n", name, newRoot(t))
	if err := os.WriteFile(file, []byte(text+more), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// A controller that is not mounted is missed only by a limit of its own.
func TestForeignMissingController(t *testing.T) {
	testkit.NeedRoot(t)
	if _, err := os.Stat("/sys/fs/cgroup/memory/cgroup.procs"); err != nil {
		t.Skip("cgroup v2 has all controllers: none can be taken away without changing the host")
	}
	for _, script := range []string{"umount /sys/fs/cgroup/memory || exit 99", "mount -t cgroup2 none /sys/fs/cgroup || exit 99"} {
		id := newName(t)
		if got := foreign(t, script, "run", "-b", newBundle(t, nil, "echo", "ran"), id).ok(); got != "ran" {
			t.Errorf("the container says %q", got)
		}
		r := foreign(t, script, "run", "-b", newBundle(t, limitMemory, "echo", "ran"), id)
		r.wants(1, "memory controller is not available", "mount -t cgroup", "leave the limit out")
		if r.stdout != "" {
			t.Errorf("it ran: %q", r.stdout)
		}
	}
}

// In a cgroup namespace whose root is not that of the mounts that are seen, all
// works as outside of it.
func TestForeignCgroupNamespace(t *testing.T) {
	testkit.NeedRoot(t)
	group, err := cgroups.New("/"+testkit.Mark+"-foreign", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	script := fmt.Sprintf(`for f in /sys/fs/cgroup%[1]s/cgroup.procs /sys/fs/cgroup/*%[1]s/cgroup.procs; do
		[ ! -e "$f" ] || echo $$ >"$f" || exit 99
	done
	set -- unshare -C "$@"`, group.Path())
	id := newName(t)
	foreign(t, script, "run", "-d", "-b", newBundle(t, limitMemory, "hold"), id).ok()
	if got := foreign(t, script, "exec", id, "probe", "cat", "/proc/self/cgroup").ok(); !strings.Contains(got, ":/../peapod/") {
		t.Errorf("seen from its own group, the container is in\n%s", got)
	}
	if s := stats(t, id); s.Memory.Usage.Limit != 64<<20 {
		t.Errorf("the limit is %d", s.Memory.Usage.Limit)
	}
	foreign(t, script, "pause", id).ok()
	foreign(t, script, "resume", id).ok()
	foreign(t, script, "update", "--memory", "128M", id).ok()
	foreign(t, script, "delete", "-f", id).ok()
}

// peapod in a privileged container of peapod: what it runs there is limited, in
// groups below that container's, and goes with it.
func TestForeignNested(t *testing.T) {
	testkit.NeedRoot(t)
	outer := newName(t)
	peapod(t, "run", "-d", "-b", newBundle(t, privileged, "hold"), outer).ok()
	nested := func(args ...string) *result {
		return peapod(t, append([]string{"exec", outer, binary, "--root", "/run/inner"}, args...)...)
	}
	if got := nested("run", "-b", newBundle(t, nil, "echo", "ran"), "a").ok(); got != "ran" {
		t.Errorf("the inner container says %q", got)
	}
	nested("run", "-d", "-b", newBundle(t, limitMemory, "hold"), "b").ok()
	if limit := groupFile(outer, "memory.limit_in_bytes", "memory.max"); limit != "67108864" {
		t.Errorf("the inner limit is %q, seen from the host", limit)
	}
	if got := nested("exec", "b", "probe", "echo", "inside").ok(); got != "inside" {
		t.Errorf("exec says %q", got)
	}
	nested("pause", "b").ok()
	nested("resume", "b").ok()
	nested("delete", "-f", "b").ok()
	if limit := groupFile(outer, "memory.limit_in_bytes", "memory.max"); limit != "" {
		t.Error("the inner group is still there")
	}
	// What is left running inside goes with the outer one.
	nested("run", "-d", "-b", newBundle(t, limitMemory, "hold"), "c").ok()
	peapod(t, "delete", "-f", outer).ok()
}

// groupFile reads a file of the one group two below a container's.
func groupFile(id string, names ...string) string {
	for _, name := range names {
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
			found, _ := filepath.Glob(pattern + "/peapod/" + id + ".container*/peapod/*/" + name)
			for _, file := range found {
				data, _ := os.ReadFile(file)
				return strings.TrimSpace(string(data))
			}
		}
	}
	return ""
}

// privileged makes a container one in which containers can be made: with all
// capabilities, its own groups to write, and the tests' files.
func privileged(s *specs.Spec) {
	all := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
		"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
	}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all}
	s.Process.NoNewPrivileges = false
	s.Linux.Seccomp, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil
	s.Linux.Resources.Devices = nil
	onHostGroups(s) // where it has one of its own already
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	for i := range s.Mounts {
		if s.Mounts[i].Type == "cgroup" {
			s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "rw"}
		}
	}
	s.Root.Readonly = false
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: testkit.Scratch(), Type: "bind", Source: testkit.Scratch(), Options: []string{"rbind", "rw"}})
}

// However a signal to all meets the end of the first process, which takes the
// others with it, it has reached who was there.
func TestForeignKillAll(t *testing.T) {
	testkit.NeedRoot(t)
	for i := range 10 {
		id := newName(t)
		foreign(t, readOnlyGroups, "run", "-d", "-b", newBundle(t, nil, "hold"), id).ok()
		for range 3 {
			foreign(t, readOnlyGroups, "exec", "-d", id, "probe", "hold").ok()
		}
		foreign(t, readOnlyGroups, "kill", "--all", id, "KILL").ok()
		if i > 0 { // a second one comes while they end
			foreign(t, readOnlyGroups, "kill", "--all", id, "KILL").ok()
		}
		foreign(t, readOnlyGroups, "delete", "-f", id).ok()
	}
}
