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
