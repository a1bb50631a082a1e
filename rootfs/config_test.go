package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestCheckProc(t *testing.T) {
	for target, allowed := range map[string]bool{
		"/proc": true, "/proc/cpuinfo": true, "/proc/self": false, "/proc/sys": false, "/proc/cpuinfo/x": false,
		"/process/x": true, "/proc/self/attr": false, "/": true,
	} {
		if err := checkProc(target, "bind"); (err == nil) != allowed {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestClean(t *testing.T) {
	for path, want := range map[string]string{"": "/", "x": "/x", "../x": "/x", "/a/../../b/": "/b", "//a": "/a"} {
		if got := clean(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}

func TestDeviceMode(t *testing.T) {
	mode := os.FileMode(0o4640)
	for _, test := range []struct {
		device specs.LinuxDevice
		want   uint32
	}{
		{specs.LinuxDevice{Type: "c"}, unix.S_IFCHR | 0o666},
		{specs.LinuxDevice{Type: "u", FileMode: &mode}, unix.S_IFCHR | 0o640},
		{specs.LinuxDevice{Type: "b"}, unix.S_IFBLK | 0o666},
		{specs.LinuxDevice{Type: "p"}, unix.S_IFIFO | 0o666},
	} {
		if got, err := deviceMode(&test.device); err != nil || got != test.want {
			t.Errorf("%+v: %#o, %v", test.device, got, err)
		}
	}
	if _, err := deviceMode(&specs.LinuxDevice{Path: "/dev/x"}); err == nil {
		t.Error("no error without a type")
	}
}

// The spec's devices come instead of default ones of the same path.
func TestDevicesWin(t *testing.T) {
	c := &Config{Spec: &specs.Spec{Linux: &specs.Linux{Devices: []specs.LinuxDevice{{Path: "/dev/../dev/null", Type: "c", Major: 9}}}}}
	nulls := 0
	for _, d := range c.devices() {
		if d.Path == "/dev/null" {
			nulls++
			if d.Major != 9 {
				t.Errorf("%+v", d)
			}
		}
	}
	if nulls != 1 || len(c.devices()) != len(defaultDevices) {
		t.Errorf("%+v", c.devices())
	}
	if c.Spec.Linux.Devices[0].Path != "/dev/../dev/null" {
		t.Error("the spec was changed")
	}
}

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// Before anything is started it is said what is wrong with a source, and nothing is left
// open.
func TestOpenErrors(t *testing.T) {
	testkit.NeedRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(root string, mounts ...specs.Mount) *Config {
		return &Config{Bundle: dir, Spec: &specs.Spec{Root: &specs.Root{Path: root}, Mounts: mounts, Linux: &specs.Linux{}}}
	}
	before := testkit.Held()
	for text, c := range map[string]*Config{
		"root.path: stat " + dir + "/none":             config("none"),
		"root.path: " + dir + "/file is not a":         config("file"),
		"mounts: /v: source: stat " + dir + "/missing": config(".", specs.Mount{Destination: "/ok", Source: "."}, specs.Mount{Destination: "/v", Source: "missing"}),
		"mounts: /u: source: stat " + dir + "/missing": {Bundle: dir, UserNamespace: true, Spec: config(".", specs.Mount{Destination: "/u", Source: "missing"}).Spec},
		"overlay upperdir " + dir + "/up":              {Bundle: dir, Spec: config(".").Spec, Overlay: &Overlay{Upper: dir + "/up", Work: dir}},
		"make an overlay of " + dir + " and " + dir:    {Bundle: dir, Spec: config(".").Spec, Overlay: &Overlay{Upper: dir, Work: dir + "/file/.."}},
		"mounts: : destination is empty":               config(".", specs.Mount{}),
	} {
		s, err := Open(c)
		if err == nil {
			_, err = Compile(program.New(), c, s)
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), text) && !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%s: %v", text, err)
		}
	}
	before.Check(t)
}

// A detached tree belongs to no mount namespace until it is attached.
func TestOpenIsDetached(t *testing.T) {
	testkit.NeedRoot(t)
	dir := t.TempDir()
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{Bundle: dir, UserNamespace: true, Spec: &specs.Spec{Root: &specs.Root{Path: "."}, Linux: &specs.Linux{},
		Mounts: []specs.Mount{{Destination: "/v", Source: ".", Options: []string{"rbind", "ro", "rslave"}}}}}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Count(string(after), dir) != strings.Count(string(before), dir) {
		t.Errorf("%v\n%s", err, after)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(s.binds[0].tree.Fd()), &st); err != nil || st.Flags&unix.ST_RDONLY == 0 {
		t.Errorf("the tree is not read-only: %#x, %v", st.Flags, err)
	}
}

// Whatever the mounts are, compiling does not panic and targets are opened
// below the root only.
func FuzzCompile(f *testing.F) {
	f.Add("/v", "bind", "/src", "ro", "/masked", "/ro", false, true)
	f.Add("../../x//y/", "tmpfs", "", "size=1", "", "/", true, false)
	f.Add("/dev", "bind", "x", "rbind", "/dev/null/..", "..", true, true)
	f.Fuzz(func(t *testing.T, target, kind, source, option, masked, readonly string, terminal, detached bool) {
		c := &Config{Bundle: "/b", Terminal: terminal, Detached: detached, Spec: &specs.Spec{
			Root:   &specs.Root{Path: "root", Readonly: terminal},
			Mounts: []specs.Mount{{Destination: target, Type: kind, Source: source, Options: []string{option}}},
			Linux:  &specs.Linux{MaskedPaths: []string{masked}, ReadonlyPaths: []string{readonly}},
		}}
		p := program.New()
		if _, err := Compile(p, c, nil); err != nil {
			return
		}
		p.Exit(0)
		var b strings.Builder
		if err := p.List(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ELF(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, "  openat2(") && !strings.Contains(line, "RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS") {
				t.Errorf("opened without bounds: %s", line)
			}
		}
	})
}
