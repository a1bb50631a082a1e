package runtime

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzPlan: no configuration makes planning panic, and each plan can be listed
// and laid out.
func FuzzPlan(f *testing.F) {
	for _, change := range []func(s *specs.Spec){
		func(s *specs.Spec) {},
		func(s *specs.Spec) {
			s.Process.Terminal = true
			s.Process.ConsoleSize = &specs.Box{Height: 1, Width: 2}
		},
		func(s *specs.Spec) {
			s.Process.User = specs.User{UID: 1, AdditionalGids: []uint32{1}}
			s.Process.Cwd = "/a//b/../c"
		},
		func(s *specs.Spec) { join(s, "user", "x"); join(s, "pid", "x"); join(s, "mount", "x") },
		func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.x": "1"}
			s.Linux.RootfsPropagation = "rshared"
		},
		func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "", Type: "c"}, {Path: "/", Type: "b"}}
		},
		func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "a/..//b/", Source: "x", Options: []string{"rbind", "rro", "rslave"}})
		},
	} {
		spec := planSpec()
		change(spec)
		data, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"process": {"args": ["x"], "cwd": "/"}, "root": {"path": "x"}, "linux": {"namespaces": [{"type": "mount"}], "maskedPaths": ["", "/", "x"], "readonlyPaths": [""]}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "config.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		spec, err := LoadSpec(dir)
		if err != nil {
			return
		}
		p, err := (&Runtime{}).Plan("fuzz", &CreateOptions{Bundle: "/bundle", Spec: spec})
		if err != nil {
			return
		}
		if err := p.List(io.Discard); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ELF(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzProcess: no process that exec is given makes it panic, and each that is taken
// can be laid out and listed.
func FuzzProcess(f *testing.F) {
	mask, score := uint32(0o7777), -1000
	for _, p := range []specs.Process{
		{Args: []string{"sh"}, Cwd: "/"},
		{Args: []string{"./a"}, Cwd: "/a/../b//c", Terminal: true, ConsoleSize: &specs.Box{Height: 1 << 40}, Env: []string{"PATH=:/bin", "HOME="}},
		{Args: []string{"x"}, Cwd: "/", User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}, Umask: &mask}, OOMScoreAdj: &score, NoNewPrivileges: true},
		{Args: []string{"x"}, Cwd: "/", Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_X"}}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_AS", Hard: 1}}},
		{Args: []string{"x"}, Cwd: "/", Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1}, IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 7},
			ExecCPUAffinity: &specs.CPUAffinity{Initial: "0-3,7", Final: "1"}, ApparmorProfile: "a", SelinuxLabel: "b"},
	} {
		data, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	path := filepath.Join(f.TempDir(), "process.json")
	all := []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "user"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		process, err := LoadProcess(path)
		if err != nil {
			return
		}
		id, err := checkProcess(process)
		if err != nil {
			return
		}
		id.withHome(func() []byte { return data })
		p, _ := execProgram(all, "fuzz", id, nil, nil, &ExecOptions{Process: process}, false)
		if err := p.List(io.Discard); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ELF(); err != nil {
			t.Fatal(err)
		}
	})
}
