package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// refused are configurations that cannot be run, whether that is seen at once, while
// the container is put together, or by the kernel in the middle of it.
var refused = map[string]func(*specs.Spec){
	"no command":         func(s *specs.Spec) { s.Process.Args = nil },
	"no process":         func(s *specs.Spec) { s.Process = nil },
	"relative directory": func(s *specs.Spec) { s.Process.Cwd = "tmp" },
	"a variable":         func(s *specs.Spec) { s.Process.Env = []string{"=x"} },
	"a limit":            func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
	"a scheduler":        func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_X"} },
	"an I/O class":       func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "X"} },
	"no root":            func(s *specs.Spec) { s.Root = nil },
	"a root that is not": func(s *specs.Spec) { s.Root.Path += "/none" },
	"a namespace":        func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "moon" },
	"a namespace's path": func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/dev/null" },
	"offsets":            func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} },
	"a host's sysctl":    func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.panic": "1"} },
	"no sysctl":          func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.no_such_thing": "1"} },
	"a seccomp action":   func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"} },
	"a hook":             func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} },
	"a group":            func(s *specs.Spec) { s.Linux.CgroupsPath = "/cgroup.procs/x" },
	"a group's limit":    func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"} },
	"a unified limit":    func(s *specs.Spec) { s.Linux.Resources.Unified = map[string]string{"cgroup.procs": "1"} },
	"a device":           func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "y"}} },
	"a network device": func(s *specs.Spec) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"no-such": {}}
	},
	"a memory policy": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "X"} },
	"a mount's source": func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs"}, specs.Mount{Destination: "/made/by/it", Type: "bind", Source: "/no/such"})
	},
	"a mount's option": func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Options: []string{"size=12Q"}})
	},
	"a mount without one": func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs"}) },
	"the command":         func(s *specs.Spec) { s.Process.Args = []string{"no-such-command"} },
}

// contents lists what is below a directory, with modes and sizes.
func contents(t testing.TB, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			info, err = d.Info()
			list = append(list, path+" "+fs.FormatFileInfo(info))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Nothing is made by a configuration that is refused: no state, cgroup, process or
// mount, nothing in the image, and no pid file.
func TestRefusedMakesNothing(t *testing.T) {
	for name, change := range refused {
		t.Run(name, func(t *testing.T) {
			var root string
			bundle := newBundle(t, func(s *specs.Spec) {
				root = s.Root.Path
				s.Root.Readonly = false
				change(s)
			})
			before := contents(t, root)
			pidFile := filepath.Join(t.TempDir(), "pid")
			id := newName(t)
			for _, command := range []string{"create", "run"} {
				peapod(t, command, "-b", bundle, "--pid-file", pidFile, id).wants(1, "peapod: ")
				peapod(t, "state", id).wants(1, "does not exist")
			}
			if after := contents(t, root); !slices.Equal(before, after) {
				t.Errorf("in the image: %q, before %q", after, before)
			}
			if _, err := os.Stat(pidFile); err == nil {
				t.Error("there is a pid file")
			}
			if left := append(testkit.Outside(id), testkit.Groups(id)...); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
