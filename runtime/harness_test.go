package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// stage is what a test's containers are made from.
type stage struct {
	t     testing.TB
	r     *Runtime
	image string
	spec  *specs.Spec
	n     int // of containers so far
}

// newStage makes an image with the probe in it, and a spec that runs it.
func newStage(t testing.TB) *stage {
	t.Helper()
	testkit.NeedRoot(t)
	dir, err := os.MkdirTemp(testkit.Scratch(), "stage-")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, r: &Runtime{Root: filepath.Join(dir, "state")}, image: filepath.Join(dir, "image")}
	for _, d := range []string{".", "bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.image, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	if err := os.Link(testkit.Probe(t), filepath.Join(s.image, "bin/probe")); err != nil {
		t.Fatal(err)
	}
	s.spec = baseSpec(s.image)
	t.Cleanup(func() {
		s.empty()
		os.RemoveAll(dir)
	})
	return s
}

// baseSpec is a usual container's.
func baseSpec(root string) *specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: root},
		Process: &specs.Process{
			Args: []string{"probe"}, Cwd: "/", Env: []string{"PATH=/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "cgroup"}},
			MaskedPaths: []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// without leaves a namespace out.
func without(spec *specs.Spec, kinds ...specs.LinuxNamespaceType) {
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
		return slices.Contains(kinds, ns.Type)
	})
}

// join makes the spec join a namespace by path.
func join(spec *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	without(spec, kind)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

// ops makes the probe's command line.
func ops(list ...[]string) []string {
	args := []string{"probe"}
	for i, op := range list {
		if i > 0 {
			args = append(args, ";")
		}
		args = append(args, op...)
	}
	return args
}

// op is one operation of the probe.
func op(args ...string) []string { return args }

// id gives names to containers.
func (s *stage) id() string {
	s.n++
	return filepath.Base(filepath.Dir(s.image)) + "." + string(rune('a'+s.n%26)) + time.Now().Format("150405.000000")
}

// options of a container called id, whose group is below the run's.
func (s *stage) options(id string) *CreateOptions {
	spec := *s.spec
	linux := *spec.Linux
	spec.Linux = &linux
	if linux.CgroupsPath == "" {
		linux.CgroupsPath = group + "/" + id
	}
	return &CreateOptions{Bundle: filepath.Dir(s.image), Spec: &spec}
}

// container is a container of a test and what it wrote.
type container struct {
	*Container
	t      testing.TB
	stdout *os.File
}

// start runs the operations in a container.
func (s *stage) start(list ...[]string) *container {
	s.t.Helper()
	s.spec.Process.Args = ops(list...)
	return s.launch(s.options(s.id()), (*Runtime).Run)
}

// launch creates or runs a container whose output is read.
func (s *stage) launch(o *CreateOptions, how func(*Runtime, context.Context, string, *CreateOptions) (*Container, error)) *container {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Close()
	if o.Stdout == nil {
		o.Stdout = w
	}
	if o.Stderr == nil {
		o.Stderr = w
	}
	c, err := how(s.r, testkit.Soon(s.t), filepath.Base(o.Spec.Linux.CgroupsPath), o)
	if err != nil {
		r.Close()
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		r.Close()
		c.Delete(context.Background(), true)
	})
	return &container{c, s.t, r}
}

// line reads a line of the container's output.
func (c *container) line() string {
	c.t.Helper()
	c.stdout.SetReadDeadline(time.Now().Add(20 * time.Second))
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := c.stdout.Read(b)
		if n == 1 && b[0] == '\n' {
			return string(line)
		}
		if err != nil {
			c.t.Fatalf("container %s wrote %q and then: %v", c.ID(), line, err)
		}
		line = append(line, b[:n]...)
	}
}

// finish reads all output, waits and deletes.
func (c *container) finish() (string, ExitStatus) {
	c.t.Helper()
	c.stdout.SetReadDeadline(time.Now().Add(20 * time.Second))
	out, err := io.ReadAll(c.stdout)
	if err != nil {
		c.t.Fatal(err)
	}
	status, err := c.Wait(testkit.Soon(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Delete(testkit.Soon(c.t), false); err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimRight(string(out), "\n"), status
}

// run performs the operations in a container to their end and returns a line
// for each.
func (s *stage) run(list ...[]string) []string {
	s.t.Helper()
	out, status := s.start(list...).finish()
	if status != (ExitStatus{}) {
		s.t.Fatalf("%v: %v\n%s", list, status, out)
	}
	return strings.Split(out, "\n")
}

// expect checks what operations print: pairs of an operation's words in one
// string and its result.
func (s *stage) expect(pairs ...string) {
	s.t.Helper()
	var list [][]string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, strings.Split(pairs[i], " "))
	}
	got := s.run(list...)
	for i := 0; i < len(pairs); i += 2 {
		if i/2 >= len(got) {
			s.t.Errorf("%s: no output", pairs[i])
		} else if got[i/2] != pairs[i+1] {
			s.t.Errorf("%s: got %q, want %q", pairs[i], got[i/2], pairs[i+1])
		}
	}
}

func parseReport(t testing.TB, text string) *report.Process {
	t.Helper()
	r := &report.Process{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return r
}

// report runs a container that tells about itself.
func (s *stage) report() *report.Process {
	s.t.Helper()
	return parseReport(s.t, s.run(op("report"))[0])
}

// empty checks that nothing of the stage's containers is left.
func (s *stage) empty() {
	s.t.Helper()
	entries, _ := os.ReadDir(filepath.Join(s.r.Root, "containers"))
	for _, e := range entries {
		s.t.Errorf("the state directory still has %s", e.Name())
	}
	name := filepath.Base(filepath.Dir(s.image))
	testkit.Until(s.t, func() string { return strings.Join(testkit.Outside(name), "\n") })
}

// null is the host's, which no container may change.
func null(t testing.TB) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/dev/null", &st); err != nil {
		t.Fatal(err)
	}
	st.Atim, st.Mtim, st.Nlink = unix.Timespec{}, unix.Timespec{}, 0
	st.Ctim = unix.Timespec{}
	return st
}

// write makes a file of an image or volume.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// content of a file.
func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}
