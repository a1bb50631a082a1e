package runtime

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
)

var update = flag.Bool("update", false, "write the golden files of compiled programs anew")

// planSpec is baseSpec without what depends on the host.
func planSpec() *specs.Spec {
	spec := baseSpec("rootfs")
	spec.Process.Args = []string{"sh", "-c", "exit"}
	spec.Process.Env = []string{"PATH=/usr/bin:/bin", "TERM=xterm"}
	spec.Mounts = spec.Mounts[:len(spec.Mounts)-1] // the host's cgroups
	return spec
}

func listing(t *testing.T, p *program.Program) string {
	t.Helper()
	var b strings.Builder
	if err := p.List(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The programs of usual containers, line by line. A change of them is to be
// looked at: go test ./runtime -run TestPlans -update
func TestPlans(t *testing.T) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	for name, change := range map[string]func(spec *specs.Spec){
		"default": func(spec *specs.Spec) {},
		"userns": func(spec *specs.Spec) {
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
			spec.Linux.UIDMappings, spec.Linux.GIDMappings = ids, ids
		},
		"joined": func(spec *specs.Spec) {
			for _, kind := range []specs.LinuxNamespaceType{"network", "ipc", "uts", "pid", "user"} {
				join(spec, kind, "/proc/1/ns/x")
			}
		},
		"detached": func(spec *specs.Spec) {
			without(spec, "mount")
			spec.Root.Readonly = true
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}})
		},
		"terminal": func(spec *specs.Spec) {
			spec.Process.Terminal, spec.Process.ConsoleSize = true, &specs.Box{Height: 24, Width: 80}
		},
		"user": func(spec *specs.Spec) {
			umask := uint32(0o027)
			spec.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5, 6}, Umask: &umask}
			spec.Process.Cwd = "/home/user"
			spec.Process.NoNewPrivileges = true
			spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 4096}}
			caps := []string{"CAP_NET_BIND_SERVICE"}
			spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
		},
		"seccomp": func(spec *specs.Spec) {
			spec.Process.NoNewPrivileges = true
			spec.Linux.Seccomp = permitting("execve", "brk", "openat")
			spec.Linux.Seccomp.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64}
		},
		"volumes": func(spec *specs.Spec) {
			spec.Root.Readonly = true
			spec.Mounts = append(spec.Mounts,
				specs.Mount{Destination: "/data/sub", Type: "bind", Source: "/srv/data", Options: []string{"rbind", "ro"}},
				specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "size=1m", "rslave"}})
			spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "100"}
			spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
			spec.Linux.RootfsPropagation = "rprivate"
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := planSpec()
			change(spec)
			p, err := (&Runtime{}).Plan("box", &CreateOptions{Bundle: "/bundle", Spec: spec})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, listing(t, p))
		})
	}
	// Create's program waits at its gate.
	o := &CreateOptions{Bundle: "/bundle", Spec: planSpec()}
	plan, err := o.plan("/run/peapod", "box", false)
	if err != nil {
		t.Fatal(err)
	}
	plan.gate = &gate{}
	p, err := plan.program()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "created", listing(t, p))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "plans", name+".plan")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs in line %d (go test -run TestPlans -update writes it anew):\n%s\nwant\n%s", path, i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	t.Fatalf("%s has more lines than the program", path)
}

// A plan is the same each time, and planning changes nothing of the spec.
func TestPlanIsPure(t *testing.T) {
	spec := planSpec()
	spec.Linux.Sysctl = map[string]string{"net.a": "1", "net.b": "2", "net.c": "3", "kernel.sem": "1"}
	before, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var first string
	for range 20 {
		p, err := (&Runtime{}).Plan("box", &CreateOptions{Bundle: "/bundle", Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		if text := listing(t, p); first == "" {
			first = text
		} else if text != first {
			t.Fatal("two plans of one spec differ")
		}
	}
	if after, _ := json.Marshal(spec); string(after) != string(before) {
		t.Errorf("the spec was changed:\n%s\nbefore\n%s", after, before)
	}
}
