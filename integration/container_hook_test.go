package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
)

// hookKinds gives access to a spec's hooks by their names, in their order.
var hookKinds = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

func hooksOf(s *specs.Spec, kind string) *[]specs.Hook {
	if s.Hooks == nil {
		s.Hooks = &specs.Hooks{}
	}
	return map[string]*[]specs.Hook{
		//lint:ignore SA1019 deprecated hooks are in use
		"prestart": &s.Hooks.Prestart, "createRuntime": &s.Hooks.CreateRuntime, "createContainer": &s.Hooks.CreateContainer,
		"startContainer": &s.Hooks.StartContainer, "poststart": &s.Hooks.Poststart, "poststop": &s.Hooks.Poststop,
	}[kind]
}

// shell is a hook that runs a script on the host.
func shell(script string, args ...string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: append([]string{"hook", "-c", script, "hook"}, args...), Env: []string{"PATH=/usr/bin:/bin"}}
}

// inImage is a hook that runs the probe of the image.
func inImage(args ...string) specs.Hook {
	return specs.Hook{Path: "/bin/probe", Args: append([]string{"probe"}, args...)}
}

// journal makes hooks of all kinds that write their kind and the state that
// they read to a file, one with its container's namespaces too.
func journal(s *specs.Spec, dir string) {
	for _, kind := range hookKinds {
		for _, n := range []string{"1", "2"} {
			hook := shell(`echo "$1$2 $(cat) $(readlink /proc/self/ns/uts) $PWD" >> "$3/journal"`, kind, n, dir)
			if kind == "startContainer" {
				hook = inImage("copy", ";", "report")
			}
			*hooksOf(s, kind) = append(*hooksOf(s, kind), hook)
		}
	}
}

func TestHooks(t *testing.T) {
	dir := t.TempDir()
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Root.Readonly = false
		s.Annotations = map[string]string{"a": "b"}
		journal(s, dir)
		s.Hooks.StartContainer = []specs.Hook{
			{Path: "/bin/probe", Args: []string{"probe", "copy", ";", "echo", ";", "report"}, Env: []string{"HOOK=1"}},
		}
	}, "wait")
	id := newName(t)
	out := filepath.Join(dir, "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := command(t, "create", "-b", bundle, id)
	cmd.Stdout = f
	finish(t, cmd).ok()
	lines := func() []string {
		data, _ := os.ReadFile(dir + "/journal")
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
	pid := stateOf(t, id).Pid
	ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/uts", pid))
	host, _ := os.Readlink("/proc/self/ns/uts")
	root := ""
	check := func(at int, kinds []string, status specs.ContainerState, pid int, ns, cwd string) {
		t.Helper()
		got := lines()
		for i, kind := range kinds {
			if at+i >= len(got) {
				t.Fatalf("%s did not run: %q", kind, got)
			}
			name, rest, _ := strings.Cut(got[at+i], " ")
			end := strings.LastIndex(rest, "}") + 1
			s := decode[specs.State](t, rest[:end])
			if name != kind || s.ID != id || s.Status != status || s.Pid != pid || s.Bundle != bundle || s.Annotations["a"] != "b" || s.Version == "" {
				t.Errorf("hook %s read %+v, want %s %s with pid %d", name, s, kind, status, pid)
			}
			if f := strings.Fields(rest[end:]); f[0] != ns || cwd != "" && f[1] != cwd {
				t.Errorf("%s ran in %v", kind, f)
			}
		}
	}
	check(0, []string{"prestart1", "prestart2"}, specs.StateCreated, pid, host, bundle)
	check(2, []string{"createRuntime1", "createRuntime2"}, specs.StateCreating, pid, host, bundle)
	check(4, []string{"createContainer1", "createContainer2"}, specs.StateCreating, 1, ns, root)
	if n := len(lines()); n != 6 {
		t.Errorf("%d hooks ran before the start", n)
	}
	peapod(t, "start", id).ok()
	check(6, []string{"poststart1", "poststart2"}, specs.StateRunning, pid, host, "")

	// The hook of the image has its own arguments, environment and descriptors.
	text, _ := os.ReadFile(out)
	parts := strings.SplitN(string(text), "\n", 4)
	if s := decode[specs.State](t, parts[0]); s.Status != specs.StateCreated || s.Pid != 1 {
		t.Errorf("startContainer read %+v", s)
	}
	r := decode[report.Process](t, parts[2])
	if len(r.Env) != 1 || r.Env[0] != "HOOK=1" || r.Args[0] != "probe" || r.Ppid != 1 || r.Namespaces["uts"] != ns {
		t.Errorf("startContainer: %+v", r)
	}
	for fd, to := range r.Files {
		if fd > "2" && !strings.HasPrefix(to, "/proc") && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			t.Errorf("startContainer: descriptor %s is %s", fd, to)
		}
	}
	peapod(t, "delete", "-f", id).ok()
	check(8, []string{"poststop1", "poststop2"}, specs.StateStopped, 0, host, "")
}

// What runs in the container before its process is as restricted as that: it has the
// process's seccomp filter, user and environment, and no descriptors but the standard
// ones; what it is called stays as it is given.
func TestStartContainerHook(t *testing.T) {
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 7, GID: 8}
		s.Process.Env = []string{"PATH=/bin", "OF=process", "OF=the process"}
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"sethostname"}, Action: specs.ActErrno}}}
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{
			{Path: "/bin/probe", Args: []string{"probe", "report", ";", "sethost", "x"}},
			{Path: "/bin/probe", Args: []string{"other name", "env", "OF", ";", "args"}, Env: []string{"OF=hook"}},
		}}
	}, "echo", "end")
	got := strings.Split(peapod(t, "run", "-b", bundle, newName(t)).ok(), "\n")
	if want := []string{"EPERM", "called as other name", "OF=hook", `["other name" "env" "OF" ";" "args"]`, "end"}; !slices.Equal(got[1:], want) {
		t.Errorf("%q, want %q", got[1:], want)
	}
	r := decode[report.Process](t, got[0])
	if !slices.Equal(r.Env, []string{"PATH=/bin", "OF=the process", "HOME=/"}) || r.UID != 7 || r.GID != 8 || r.Status["Seccomp"] != "2" || len(r.Files) != 3 {
		t.Errorf("%+v", r)
	}
}

// A hook that fails ends the creation, and what is left of it is undone; after
// the start it stops the container; after the end it only warns.
func TestHookFailures(t *testing.T) {
	dir := t.TempDir()
	second := 1
	for _, tt := range []struct {
		kind string
		hook specs.Hook
		want []string
	}{
		{"prestart", shell("echo problem; exit 3"), []string{"prestart hook /bin/sh", "exit status 3", "problem"}},
		{"createRuntime", shell("kill -9 $$"), []string{"createRuntime hook /bin/sh", "killed"}},
		{"createRuntime", specs.Hook{Path: "/nonexistent"}, []string{"createRuntime hook /nonexistent", "no such file"}},
		{"createContainer", shell("echo problem; exit 3"), []string{"createContainer hook /bin/sh", "exit status 3", "problem"}},
		{"createContainer", specs.Hook{Path: "/nonexistent"}, []string{"createContainer hook /nonexistent", "no such file"}},
		{"startContainer", inImage("exit", "4"), []string{"startContainer hook /bin/probe", "exit status 4"}},
		{"poststart", shell("exit 5"), []string{"poststart hook /bin/sh", "exit status 5"}},
	} {
		id := newName(t)
		os.Remove(dir + "/journal")
		bundle := newBundle(t, func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststop: []specs.Hook{shell(`echo poststop >> "$1/journal"`, dir)}}
			*hooksOf(s, tt.kind) = []specs.Hook{tt.hook, shell(`echo next >> "$1/journal"`, dir)}
		}, "wait")
		peapod(t, "run", "-b", bundle, id).wants(1, tt.want...)
		peapod(t, "state", id).wants(1, "does not exist")
		if data, _ := os.ReadFile(dir + "/journal"); string(data) != "poststop\n" {
			t.Errorf("%s: %q", tt.kind, data)
		}
		// In two commands the failure of the later kinds is start's.
		if late := tt.kind == "startContainer" || tt.kind == "poststart"; late {
			peapod(t, "create", "-b", bundle, id).ok()
			peapod(t, "start", id).wants(1, tt.want...)
			testkit.Eventually(t, "it stops", func() bool { return stateOf(t, id).Status == "stopped" })
			peapod(t, "delete", id).ok()
		}
	}
	for _, kind := range []string{"createRuntime", "createContainer", "startContainer"} {
		hook := shell("sleep 100; true")
		if kind == "startContainer" {
			hook = inImage("wait")
		}
		hook.Timeout = &second
		peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { *hooksOf(s, kind) = []specs.Hook{hook} }), newName(t)).
			wants(1, kind+" hook", "timeout of 1 s")
	}
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{shell("echo bad; exit 1"), shell(`echo poststop >> "$1/after"`, dir)}}
	}, "echo", "fine")
	r := peapod(t, "run", "-b", bundle, newName(t))
	r.wants(0, "poststop hook /bin/sh", "exit status 1", "bad")
	if data, _ := os.ReadFile(dir + "/after"); r.stdout != "fine\n" || string(data) != "poststop\n" {
		t.Errorf("%q, %q", r.stdout, data)
	}
}

// What hooks mount into the root, by its path on the host, is there: from
// outside, through the mount namespace of the pid in the state, and from
// inside.
func TestHooksMount(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Fatal("nsenter of util-linux is missing")
	}
	for _, user := range []bool{false, true} {
		inside(t, func(s *specs.Spec) {
			os.Mkdir(s.Root.Path+"/one", 0o755)
			os.Mkdir(s.Root.Path+"/two", 0o755)
			if user {
				userNamespace(t, s)
				reachable(s.Root.Path)
			}
			s.Hooks = &specs.Hooks{
				CreateRuntime:   []specs.Hook{shell(`pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/'); nsenter -t $pid -m mount -t tmpfs x "$1/one" && nsenter -t $pid -m sh -c "echo runtime > $1/one/file"`, s.Root.Path)},
				CreateContainer: []specs.Hook{shell(`mount -t tmpfs x "$1/two" && echo container > two/file`, s.Root.Path)},
			}
		}, "cat /one/file", "runtime", "cat /two/file", "container")
	}
}
