package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// needCommand skips a test without a command of the host, but not in CI.
func needCommand(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

func ownedBy(info os.FileInfo, uid uint32) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == uid
}

func lines(list ...string) string { return strings.Join(list, "\n") }

// An ordinary user is root in his container and himself outside of it.
func TestRootlessRun(t *testing.T) {
	o := newOrdinary(t)
	shared := filepath.Join(o.home, "shared")
	os.Mkdir(shared, 0o755)
	o.own(shared)
	bundle := o.bundle(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/shared", Type: "bind", Source: shared, Options: []string{"rbind", "rw"}})
		s.Root.Readonly = false
		score := 500
		s.Process.OOMScoreAdj = &score
	}, "id", ";", "cat", "/proc/self/uid_map", ";", "create", "/shared/new", "x", ";", "host", ";", "cat", "/proc/self/oom_score_adj",
		";", "create", "/dev/null", "x", ";", "mkdir", "/sys/x", ";", "mkdir", "/made")
	got := strings.Fields(o.peapod("run", "-b", bundle, "c").ok())
	want := strings.Fields("0:0 [65534] 0 65534 1 ok peapod 500 ok EROFS ok")
	if strings.Join(got, " ") != strings.Join(want, " ") && strings.Join(got, " ") != strings.Replace(strings.Join(want, " "), "[65534]", "[]", 1) {
		t.Errorf("the container says %q, want %q", got, want)
	}
	info, err := os.Stat(filepath.Join(shared, "new"))
	if err != nil || !ownedBy(info, 65534) {
		t.Errorf("the file that its root made is not his: %v, %v", info, err)
	}
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

// The life of a container, command by command.
func TestRootlessLife(t *testing.T) {
	o := newOrdinary(t)
	bundle := o.bundle(nil, "hold")
	o.peapod("create", "-b", bundle, "c").ok()
	t.Cleanup(func() { o.peapod("delete", "--force", "c") })
	o.peapod("exec", "c", "probe", "id").wants(255, "start it first")
	o.peapod("start", "c").ok()
	if got := o.peapod("exec", "c", "probe", "id", ";", "echo", "inside").ok(); !strings.HasPrefix(got, "0:0") || !strings.HasSuffix(got, "inside") {
		t.Errorf("exec says %q", got)
	}
	if got := o.peapod("ps", "-f", "json", "c").ok(); !strings.HasPrefix(got, "[") || got == "[]" {
		t.Errorf("ps says %q", got)
	}
	if got := o.peapod("list", "-q").ok(); got != "c" {
		t.Errorf("list says %q", got)
	}
	o.peapod("exec", "c", "probe", "nothing").wants(99)
	o.peapod("kill", "c", "KILL").ok()
	testkit.Eventually(t, "the container has stopped", func() bool {
		return strings.Contains(o.peapod("state", "c").ok(), `"stopped"`)
	})
	o.peapod("delete", "c").ok()
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

// With ranges of ids that newuidmap maps there are further users inside.
func TestRootlessRanges(t *testing.T) {
	needCommand(t, "newuidmap")
	o := newOrdinary(t)
	bundle := o.bundle(func(s *specs.Spec) {
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 65534, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 1000}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		s.Process.User = specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{5}}
	}, "id", ";", "create", "/tmp/x", "x")
	if got := o.granted("run", "-b", bundle, "c").ok(); got != lines("33:34 [5]", "EROFS") {
		t.Errorf("the container says %q", got)
	}
	// Without the grant the helper's own words are told.
	o.peapod("run", "-b", bundle, "c").wants(1, "newuidmap", "not allowed")
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

// What an ordinary user cannot have is refused before anything is made.
func TestRootlessRefusals(t *testing.T) {
	o := newOrdinary(t)
	for name, c := range map[string]struct {
		change func(*specs.Spec)
		want   []string
	}{
		"no user namespace": {func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[:len(s.Linux.Namespaces)-1]
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}, []string{"needs a user namespace", "peapod spec --rootless"}},
		"no mount namespace": {func(s *specs.Spec) { withoutNamespace(s, "mount") }, []string{"needs a mount namespace of its own"}},
		"limits": {func(s *specs.Spec) {
			limit := int64(1 << 20)
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
		}, []string{"linux.resources", "cgroup"}},
		"groups": {func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{5} }, []string{"additionalGids [5]"}},
		"user":   {func(s *specs.Spec) { s.Process.User.UID = 7 }, []string{"process.user.uid 7", "uidMappings"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := o.with(t)
			o.peapod("run", "-b", o.bundle(c.change, "echo"), "c").wants(1, c.want...)
			if left := o.left(); left != "" {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// What `runc spec --rootless` writes runs too: it mounts cgroups.
func TestRootlessCgroupMount(t *testing.T) {
	o := newOrdinary(t)
	bundle := o.bundle(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
	}, "mkdir", "/sys/fs/cgroup/x", ";", "echo", "ran")
	if got := o.peapod("run", "-b", bundle, "c").ok(); got != lines("EROFS", "ran") && got != lines("EACCES", "ran") {
		t.Errorf("the container says %q", got)
	}
}

// Killed at any time, it leaves what delete --force removes.
func TestRootlessKilled(t *testing.T) {
	o := newOrdinary(t)
	run := begin(t, o.command("run", "-b", o.bundle(nil, "echo", "up", ";", "hold"), "c"))
	run.sees("up")
	if err := run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	run.status()
	o.peapod("delete", "--force", "c").ok()
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
	if out, err := exec.Command("pgrep", "-f", o.home).Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
}

// Who is root in a user namespace only, as engines without root have one for their
// runtimes, has his own state and runs containers as root does, without limits.
func TestRootlessAsRoot(t *testing.T) {
	needCommand(t, "unshare")
	o := newOrdinary(t)
	asRoot := func(args ...string) *result {
		cmd := asNobody(exec.CommandContext(testkit.Soon(t), "unshare", append([]string{"-U", "-r", "-m", binary}, args...)...))
		cmd.Env, cmd.Dir = append(o.env(), "USER=nobody"), o.home
		return finish(t, cmd)
	}
	change := func(s *specs.Spec) { // as root's, without a user namespace
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
		s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	}
	r := asRoot("run", "-b", o.bundle(change, "id", ";", "create", "/dev/null", "x", ";", "echo", "ran"), "c")
	if got := strings.Split(r.ok(), "\n"); len(got) != 3 || !strings.HasPrefix(got[0], "0:0") || got[1] != "ok" || got[2] != "ran" || r.stderr != "" {
		t.Errorf("the container says %q and %q", got, r.stderr)
	}
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
	asRoot("run", "-b", o.bundle(func(s *specs.Spec) { change(s); limitMemory(s) }, "echo"), "c").wants(1, "limits need a cgroup")
	// His containers are where he finds them as himself.
	peer := o.bundle(change, "hold")
	asRoot("create", "-b", peer, "c").ok()
	if got := o.peapod("list", "-q").ok(); got != "c" {
		t.Errorf("list says %q", got)
	}
	asRoot("delete", "--force", "c").ok()
}
