package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// What container engines and runc's users rely on, beside what the other files
// are about.

// onHostPids leaves the container in the host's pid namespace.
func onHostPids(s *specs.Spec) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
}

// ends waits until the container's first process has.
func ends(t testing.TB, id string) {
	t.Helper()
	testkit.Eventually(t, id+" ends", func() bool { return stateOf(t, id).Status == "stopped" })
}

func TestPidfdSocket(t *testing.T) {
	path, receive := console(t)
	id := newName(t)
	peapod(t, "create", "--pidfd-socket", path, "-b", newBundle(t, nil, "wait"), id).ok()
	own := receive()
	peapod(t, "start", id).ok()
	peapod(t, "exec", "-d", "--pidfd-socket", path, id, "probe", "wait").ok()
	other := receive()
	for _, f := range []*os.File{other, own} {
		if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
			t.Error(err)
		}
		if f == other {
			testkit.Eventually(t, "what was executed ends", func() bool { return len(pidsOf(t, id)) == 1 })
		}
	}
	ends(t, id)
	peapod(t, "run", "--pidfd-socket", filepath.Join(t.TempDir(), "none"), "-b", newBundle(t, nil), newName(t)).wants(1, "--pidfd-socket", "listen")
}

func pidsOf(t testing.TB, id string) []int {
	t.Helper()
	return decode[[]int](t, peapod(t, "ps", "--format", "json", id).ok())
}

// Without a pid namespace of its own, a container's processes outlive its first.
func TestKillStopped(t *testing.T) {
	id := detached(t, onHostPids)
	peapod(t, "exec", "-d", id, "probe", "wait").ok()
	if err := unix.Kill(stateOf(t, id).Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ends(t, id)
	if left := pidsOf(t, id); len(left) != 1 {
		t.Fatalf("processes %v", left)
	}
	peapod(t, "kill", id).wants(1, "container not running")
	peapod(t, "kill", "-a", id, "USR1").ok() // the probe goes on
	peapod(t, "kill", id, "KILL", "--all").ok()
	testkit.Eventually(t, "the other ends", func() bool { return len(pidsOf(t, id)) == 0 })
	peapod(t, "kill", "-a", id, "TERM").ok()
	peapod(t, "kill", id, "KILL").wants(1, "container not running")
	peapod(t, "delete", id).ok()
}

// delete -f ends all of it, in groups that the container made too.
func TestDeleteNestedGroups(t *testing.T) {
	id := detached(t, onHostPids)
	pid := stateOf(t, id).Pid
	group := groupDir(t, pid)
	deep := filepath.Join(group, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	peapod(t, "exec", "-d", id, "probe", "wait").ok()
	for _, p := range pidsOf(t, id) {
		if err := os.WriteFile(filepath.Join(deep, "cgroup.procs"), []byte(strconv.Itoa(p)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := pidsOf(t, id); len(got) != 2 {
		t.Errorf("ps: %v", got)
	}
	peapod(t, "delete", id, "--force").ok()
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("%s: %v", group, err)
	}
	if err := unix.Kill(pid, 0); err == nil {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(text), "(probe) S") {
			t.Error("its process runs on")
		}
	}
}

// groupDir is the directory of a process's group: that of v2, or where there is
// none, of the first hierarchy of v1.
func groupDir(t testing.TB, pid int) string {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/cgroup", pid))
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(mount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			_, path, _ := strings.Cut("\n"+text, "\n0::")
			path, _, _ = strings.Cut(path, "\n")
			return mount + path
		}
	}
	fields := strings.SplitN(strings.SplitN(text, "\n", 2)[0], ":", 3)
	return "/sys/fs/cgroup/" + strings.TrimPrefix(fields[1], "name=") + fields[2]
}

// A first process that nobody has reaped has ended all the same.
func TestZombieIsStopped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	id := detached(t, nil)
	pid := stateOf(t, id).Pid
	defer unix.Wait4(pid, nil, 0, nil)
	peapod(t, "kill", id, "KILL").ok()
	ends(t, id)
	if text := read(t, fmt.Sprintf("/proc/%d/stat", pid)); !strings.Contains(text, ") Z ") {
		t.Errorf("it is no zombie: %s", text)
	}
	peapod(t, "kill", id).wants(1, "container not running")
	peapod(t, "exec", id, "probe", "echo").wants(255, "not running")
	peapod(t, "delete", id).ok()
}

// Keys come in runc's order: people read them, and scripts with grep.
func TestStateKeys(t *testing.T) {
	id := detached(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a": "b"} })
	want := []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "a", "owner"}
	for _, args := range [][]string{{"state", id}, {"list", "--format", "json"}} {
		text := peapod(t, args...).ok()
		var keys []string
		for _, m := range regexp.MustCompile(`"(\w+)": ?["0-9{]`).FindAllStringSubmatch(text, -1) {
			keys = append(keys, m[1])
		}
		if !slices.Equal(keys, want) {
			t.Errorf("%v: keys %v", args, keys)
		}
	}
}

// A user who cannot be is nobody's root.
func TestNoSuchUser(t *testing.T) {
	id := detached(t, nil)
	for _, user := range []string{"", "-1", "4294967295", "4294967296", "0:", ":0", " 0", "+0", "0x0", "1:-1"} {
		peapod(t, "exec", "--user", user, id, "probe", "id").wants(255, fmt.Sprintf("--user %q", user))
	}
	path := filepath.Join(t.TempDir(), "process.json")
	for _, user := range []string{`{"uid": -1}`, `{"uid": 4294967295}`, `{"uid": 4294967296}`, `{"uid": 1, "gid": 4294967295}`, `{"uid": "1"}`, `{"uid": 1.5}`,
		`{"uid": 1, "additionalGids": [4294967295]}`} {
		os.WriteFile(path, []byte(`{"args": ["probe", "id"], "cwd": "/", "user": `+user+`}`), 0o644)
		peapod(t, "exec", "--process", path, id).wants(255, "user")
	}
	peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 }, "id"), newName(t)).wants(1, "process.user.uid")
}

// exec -p has the environment of its file and HOME, nothing of the container's.
func TestExecProcessEnvironment(t *testing.T) {
	id := detached(t, func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "OF=container") })
	path := filepath.Join(t.TempDir(), "process.json")
	writeJSON(t, path, specs.Process{Args: []string{"/bin/probe", "report"}, Cwd: "/", Env: []string{"A=1", "B=2", "A=3"}})
	result := peapod(t, "exec", "--env", "C=4", "-p", path, id)
	env := decode[report.Process](t, result.ok()).Env
	if slices.Sort(env); !slices.Equal(env, []string{"A=3", "B=2", "HOME=/"}) {
		t.Errorf("%q", env)
	}
	result.wants(0, "ignored", "--env")
	// conmon gives --tty always.
	if quiet := peapod(t, "exec", "--tty", "--process", path, id); quiet.code != 0 || quiet.stderr != "" {
		t.Errorf("status %d: %s", quiet.code, quiet.stderr)
	}
}

// --cap is ambient where the container has inheritable capabilities.
func TestExecCapabilities(t *testing.T) {
	const kill = 1 << 5
	caps := []string{"CAP_KILL"}
	for _, inheritable := range [][]string{nil, caps} {
		id := detached(t, func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Inheritable: inheritable}
		})
		got := peapod(t, "exec", "--user", "7", "--cap", "CAP_KILL", id, "probe", "status", "CapAmb").ok()
		if ambient, err := strconv.ParseUint(got, 16, 64); err != nil || (ambient&kill != 0) != (inheritable != nil) {
			t.Errorf("inheritable %v: ambient %s", inheritable, got)
		}
	}
}

// However soon a process is over, exec has its output and status, and nothing
// is left of it.
func TestExecOverAtOnce(t *testing.T) {
	id := detached(t, nil)
	dir := t.TempDir()
	for i := range 10 {
		cmd := command(t, "exec", "--pid-file", "pid", id, "probe", "echo", "x", ";", "exit", strconv.Itoa(i))
		cmd.Dir = dir // which the pid file is relative to
		r := finish(t, cmd)
		if r.code != i || r.stdout != "x\n" {
			t.Errorf("status %d, want %d; %q", r.code, i, r.stdout)
		}
		if _, err := strconv.Atoi(read(t, filepath.Join(dir, "pid"))); err != nil {
			t.Error(err)
		}
	}
	// Nor where it has no pid namespace to be forked into, or a terminal.
	other := detached(t, onHostPids)
	for range 3 {
		peapod(t, "exec", "-d", "--pid-file", filepath.Join(dir, "detached"), other, "probe", "exit", "1").ok()
		p, _, _ := onTerminal(t, "exec", "-t", other, "probe", "echo", "over")
		p.sees("over")
		if code := p.status(); code != 0 {
			t.Errorf("status %d", code)
		}
	}
	for _, id := range []string{id, other} {
		testkit.Until(t, func() string {
			if pids := pidsOf(t, id); len(pids) != 1 {
				return fmt.Sprintf("processes %v", pids)
			}
			return ""
		})
	}
}

// The working directory may be one that only root can enter, or only the user.
func TestExecCwdOfOne(t *testing.T) {
	id := detached(t, func(s *specs.Spec) {
		for name, owner := range map[string]int{"root": 0, "user": 7} {
			dir := filepath.Join(s.Root.Path, "tmp", name)
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, owner, owner)); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, name := range []string{"root", "user"} {
		if got := peapod(t, "exec", "--user", "7:7", "--cwd", "/tmp/"+name, id, "probe", "link", "/proc/self/cwd").ok(); got != "/tmp/"+name {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What runc spec and crun spec wrote for years has ambient capabilities that are not
// inheritable. For root that changes nothing; others do not have them, and hear it.
func TestAmbientOfOldSpecs(t *testing.T) {
	for uid, warning := range map[uint32]string{0: "", 7: "CAP_KILL"} {
		bundle := newBundle(t, func(s *specs.Spec) {
			c := s.Process.Capabilities
			c.Ambient, c.Inheritable, s.Process.User.UID = c.Permitted, nil, uid
		}, "status", "CapAmb")
		r := peapod(t, "run", "-b", bundle, newName(t))
		if r.ok(); strings.TrimSpace(r.stdout) != "0000000000000000" || !strings.Contains(r.stderr, warning) || (warning == "" && r.stderr != "") {
			t.Errorf("user %d: %s%s", uid, r.stdout, r.stderr)
		}
	}
}
