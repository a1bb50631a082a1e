package integration

import (
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/kernel"
	"golang.org/x/sys/unix"
)

// withoutNamespace leaves a new namespace out.
func withoutNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}

// A container that is left in the host's mount namespace lives like others, and the
// host's mounts stay as they are all the while. Its hooks find the root, which has no
// path on the host, in their working directory.
func TestWithoutMountNamespace(t *testing.T) {
	dir := mountedTree(t, 0)
	if err := unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(dir+"/on", 0o755)
	journal := t.TempDir() + "/journal"
	bundle := newBundle(t, func(s *specs.Spec) {
		withoutNamespace(s, "mount")
		mounts(
			specs.Mount{Destination: "/v", Source: dir, Options: []string{"rbind"}},
			specs.Mount{Destination: "/v/on", Type: "tmpfs", Options: []string{"ro"}},
		)(s)
		s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{shell(`ls -d v/below bin/probe proc/self/comm >"$1"`, journal)}}
	}, "stat", "/v/below", ";", "wait")
	id := newName(t)
	if kernel.CheckDetached() != nil {
		peapod(t, "run", "-b", bundle, id).wants(1, "Linux 6.15", `{"type": "mount"}`)
		t.Skip("the kernel is older")
	}
	host := func() (list []string) {
		data, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); strings.Contains(line, t.Name()) || f[4] == "/" || strings.HasPrefix(f[4], "/proc") {
				list = append(list, line)
			}
		}
		return list
	}
	before := host()
	check := func(when string) {
		t.Helper()
		if after := host(); !slices.Equal(after, before) {
			t.Errorf("%s the host has\n%s\nbefore\n%s", when, after, before)
		}
	}
	peapod(t, "create", "-b", bundle, id).ok()
	t.Cleanup(func() { peapod(t, "delete", "-f", id) })
	check("when it is created")
	if data, _ := os.ReadFile(journal); string(data) != "bin/probe\nproc/self/comm\nv/below\n" {
		t.Errorf("the hook found %q", data)
	}
	if got := peapod(t, "exec", id, "probe", "ls", "/v", ";", "create", "/v/on/x", "x").ok(); got != "below on\nEROFS" {
		t.Errorf("executed before the start: %q", got)
	}
	peapod(t, "start", id).ok()
	check("while it runs")
	if out := peapod(t, "ps", id).ok(); !strings.Contains(out, "probe") {
		t.Errorf("ps: %s", out)
	}
	if got := peapod(t, "exec", "--cwd", "/v/below", id, "probe", "cwd").ok(); got != "/v/below" {
		t.Errorf("executed: %q", got)
	}
	peapod(t, "kill", id, "KILL").ok()
	peapod(t, "delete", "-f", id).ok()
	check("afterwards")
}
