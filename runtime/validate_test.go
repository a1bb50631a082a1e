package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// What cannot be run is refused before anything is made, with a message that
// names the field.
func TestRefusals(t *testing.T) {
	ids := []specs.LinuxIDMapping{{Size: 1}}
	for text, change := range map[string]func(s *specs.Spec){
		"process: is missing":                             func(s *specs.Spec) { s.Process = nil },
		"process.args: is empty":                          func(s *specs.Spec) { s.Process.Args = nil },
		"process.cwd \"x\": give an absolute":             func(s *specs.Spec) { s.Process.Cwd = "x" },
		"process.cwd \"\": give an absolute":              func(s *specs.Spec) { s.Process.Cwd = "" },
		"process: \"/\\x00\" contains a NUL":              func(s *specs.Spec) { s.Process.Cwd = "/\x00" },
		"process: \"a\\x00b\" contains a NUL":             func(s *specs.Spec) { s.Process.Args = []string{"x", "a\x00b"} },
		"process: \"A=\\x00\" contains a NUL":             func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} },
		"process.env[1] \"A\": give NAME=value":           func(s *specs.Spec) { s.Process.Env = []string{"B=1", "A"} },
		"process.env[0] \"=x\": give NAME":                func(s *specs.Spec) { s.Process.Env = []string{"=x"} },
		"process.scheduler.policy \"\": give SCHED_OTHER": func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} },
		"process.scheduler.nice 20: give": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 20}
		},
		"process.scheduler.priority 0: give a number from 1": func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR} },
		"process.scheduler.priority 5: is for": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Priority: 5}
		},
		"process.scheduler: runtime, deadline and period": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Runtime: 5}
		},
		"process.scheduler.flags[0] \"X\": there is no": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"X"}}
		},
		"process.ioPriority.class \"\": give": func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} },
		"process.ioPriority.priority 8: give": func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		},
		"process.execCPUAffinity.final \"2-1\": give": func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "2-1"} },
		"process.execCPUAffinity.initial \"x\": give": func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "x"} },
		"linux.personality.domain \"\": give":         func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} },
		"linux.personality.flags: the": func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Flags: []specs.LinuxPersonalityFlag{"X"}}
		},
		"linux.memoryPolicy.mode \"\": there is no": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} },
		"linux.memoryPolicy.nodes \"5000\": give": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "5000"}
		},
		"linux.netDevices \"eth0\": there is no network namespace": func(s *specs.Spec) {
			without(s, "network")
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
		},
		"linux.netDevices \"eth0\": \"a/b\" is no name": func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "a/b"}}
		},
		"linux.intelRdt.closID \"../x\": give the name": func(s *specs.Spec) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "../x"}
		},
		"linux.intelRdt.memBwSchema \"x\": begin it": func(s *specs.Spec) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{MemBwSchema: "x"}
		},
		"linux.timeOffsets: there is no new time namespace": func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
		},
		"linux.timeOffsets \"realtime\": give monotonic": func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"realtime": {Secs: 1}}
		},
		"process.capabilities.effective: CAP_KILL not in permitted": func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_KILL"}}
		},
		"process.rlimits[0].type \"NOFILE\": there is no such limit": func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "NOFILE"}} },
		"process.rlimits[0]: soft 2 is above hard 1":                 func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_AS", Soft: 2, Hard: 1}} },
		"root.path: is missing":                                      func(s *specs.Spec) { s.Root = nil },
		"root.path: \"a\\x00\" contains a NUL":                       func(s *specs.Spec) { s.Root.Path = "a\x00" },
		"hooks.poststop[0].path \"x\": give an absolute": func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}}
		},
		"hooks.createContainer[1].timeout 0: give a number": func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/x"}, {Path: "/x", Timeout: new(int)}}}
		},
		"hooks.startContainer[0]: contains a NUL": func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/x", Env: []string{"A=\x00"}}}}
		},
		"hostname: \"a\\x00\" contains a NUL": func(s *specs.Spec) { s.Hostname = "a\x00" },
		"hostname: there is no uts namespace": func(s *specs.Spec) { without(s, "uts") },
		"from a user namespace nothing can be mounted in the host's": func(s *specs.Spec) {
			without(s, "mount")
			s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		},
		"mounts: /x: propagation MS_SLAVE: mounts that are made later": func(s *specs.Spec) {
			without(s, "mount")
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"rbind", "rslave"}}}
		},
		"linux.rootfsPropagation: propagation MS_SHARED: mounts": func(s *specs.Spec) { without(s, "mount"); s.Linux.RootfsPropagation = "rshared" },
		"linux.namespaces[6].type \"moon\": give one of": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "moon"})
		},
		"linux.namespaces[6].type \"pid\" is listed twice": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"})
		},
		"linux.uidMappings: there is no user namespace": func(s *specs.Spec) { s.Linux.UIDMappings = ids },
		"linux.uidMappings and gidMappings: a new user namespace needs both": func(s *specs.Spec) {
			s.Linux.UIDMappings = ids
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		},
		"linux.seccomp.defaultAction: is missing":              func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{Syscalls: make([]specs.LinuxSyscall, 1)} },
		"linux.maskedPaths: \"/\\x00\" contains":               func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/\x00"} },
		"linux.readonlyPaths: \"/\\x00\" contains":             func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/\x00"} },
		"linux.devices: \"/\\x00\" contains":                   func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/\x00"}} },
		"linux.devices: /dev/x: type \"y\"":                    func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "y"}} },
		"linux.sysctl: \"1\\x00\" contains":                    func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.x": "1\x00"} },
		"linux.sysctl \"kernel.panic\": is a setting of":       func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.panic": "1"} },
		"linux.sysctl \"net/../kernel/panic\": is no name":     func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/../kernel/panic": "1"} },
		"linux.sysctl \"net.x\": would change the host: add a": func(s *specs.Spec) { without(s, "network"); s.Linux.Sysctl = map[string]string{"net.x": "1"} },
		"linux.rootfsPropagation \"x\": give shared":           func(s *specs.Spec) { s.Linux.RootfsPropagation = "x" },
		"mounts: : destination is empty":                       func(s *specs.Spec) { s.Mounts = []specs.Mount{{Type: "tmpfs"}} },
		"mounts: /: the root itself":                           func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/", Type: "tmpfs"}} },
		"mounts: /x: type \"none\" without":                    func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/x", Type: "none"}} },
		"mounts: /x: a bind mount needs a source":              func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/x", Type: "bind"}} },
		"mounts: /x: option \"sice\": unknown, and a bind": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"sice"}}}
		},
		"mounts: /x: option idmap: there is no map": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"idmap"}}}
		},
		"mounts: /x: option idmap: only bind": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "tmpfs", UIDMappings: ids, GIDMappings: ids}}
		},
		"mounts: /x: uidMappings and gidMappings: give both": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", UIDMappings: ids}}
		},
		"mounts: /x: option tmpcopyup: the mount is no tmpfs": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"tmpcopyup"}}}
		},
		"mounts: /x: option remount: cannot go with": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Options: []string{"remount", "idmap"}}}
		},
		"mounts: /x: option \"sice\": unknown, and a bind m": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Options: []string{"remount", "bind", "sice"}}}
		},
		"mounts: /proc/x/../self: nothing may be mounted": func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/proc/x/../self", Source: "/"}} },
		"mounts: /x: a path or option contains a NUL":     func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/x", Source: "/\x00"}} },
	} {
		spec := planSpec()
		change(spec)
		_, err := (&Runtime{}).Plan("box", &CreateOptions{Spec: spec})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := (&Runtime{}).Plan("box", &CreateOptions{}); err == nil || err.Error() != "there is no spec" {
		t.Error(err)
	}
}

func TestRefusesID(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	for _, id := range []string{"", "..", "a/b", "a\x00"} {
		if _, err := r.Run(testkit.Soon(t), id, &CreateOptions{Spec: planSpec()}); err == nil || !strings.Contains(err.Error(), "container id") {
			t.Errorf("%q: %v", id, err)
		}
	}
	if entries, _ := os.ReadDir(r.Root); len(entries) > 0 {
		t.Errorf("made: %v", entries)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding", "x": "x",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, test := range []struct {
		command string
		env     []string
		want    []string
	}{
		{"/bin/x", nil, []string{"/bin/x"}},
		{"./x", []string{"PATH=/a"}, []string{"./x"}},
		{"x", []string{"PATH=/a:/b"}, []string{"/a/x", "/b/x"}},
		{"x", []string{"PATH=/a", "PATH=/b"}, []string{"/b/x"}},
		{"x", []string{"PATH=:/a:"}, []string{"./x", "/a/x", "./x"}},
		{"x", []string{"PATH="}, []string{"./x"}},
		{"x", []string{"PATHS=/a"}, []string{"/usr/local/sbin/x", "/usr/local/bin/x", "/usr/sbin/x", "/usr/bin/x", "/sbin/x", "/bin/x"}},
	} {
		if got := candidates(test.command, test.env); !slices.Equal(got, test.want) {
			t.Errorf("%s with %q: %q, want %q", test.command, test.env, got, test.want)
		}
	}
}

func TestUnique(t *testing.T) {
	for _, test := range [][2][]string{
		{{"A=1", "B=2"}, {"A=1", "B=2"}},
		{{"A=1", "B=2", "A=3"}, {"B=2", "A=3"}},
		{{"A=", "A=1=2", "AA=1"}, {"A=1=2", "AA=1"}},
		{nil, nil},
	} {
		if got := unique(test[0]); !slices.Equal(got, test[1]) {
			t.Errorf("%q: %q, want %q", test[0], got, test[1])
		}
	}
}

func TestParseCapabilities(t *testing.T) {
	caps, unknown, err := parseCapabilities(&specs.LinuxCapabilities{
		Bounding: []string{"CAP_CHOWN", "cap_checkpoint_restore", "CAP_FLY"}, Permitted: []string{"CAP_KILL", "CAP_KILL"}, Effective: []string{"CAP_KILL"},
	})
	if err != nil || !slices.Equal(unknown, []string{"CAP_FLY"}) || caps != (capabilities{bounding: 1<<40 | 1, permitted: 1 << 5, effective: 1 << 5}) {
		t.Errorf("%+v, %v", caps, err)
	}
	for _, name := range []string{"CHOWN", "CAP_", "", "CAP_CHOWN "} {
		if _, ok := capBit(name); ok {
			t.Errorf("%q is taken for a capability", name)
		}
	}
	if got := capList(1<<40 | 1); got != "CAP_CHOWN, CAP_CHECKPOINT_RESTORE" {
		t.Error(got)
	}
}

func TestLoadSpec(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"{\n \"hostname\": 5}": "config.json:2:14: hostname: found 5, expected a string",
		"{\n,}":                "config.json:2:1: ",
		"":                     "config.json:1:1: found the end of the file",
	} {
		write(t, filepath.Join(dir, "config.json"), text)
		if _, err := LoadSpec(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := LoadSpec(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "a bundle is a directory with a config.json") {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "config.json"), `{"hostname": "x", "unknown": 1}`)
	if spec, err := LoadSpec(dir); err != nil || spec.Hostname != "x" {
		t.Error(spec, err)
	}
}

func TestStates(t *testing.T) {
	if (ExitStatus{Code: 3}).String() != "exit status 3" || (ExitStatus{Signal: 9}).String() != "signal 9 (SIGKILL)" || (ExitStatus{Signal: 9}).ExitCode() != 137 {
		t.Error("ExitStatus")
	}
	t.Setenv("XDG_RUNTIME_DIR", "/x")
	if want := map[bool]string{true: "/run/peapod", false: "/x/peapod"}[os.Geteuid() == 0]; DefaultRoot() != want || (&Runtime{}).root() != want {
		t.Error(DefaultRoot())
	}
}
