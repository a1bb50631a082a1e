package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// table writes mount table lines from "device root dir type options".
func table(mounts ...string) string {
	var b strings.Builder
	for _, m := range mounts {
		f := strings.Fields(m)
		b.WriteString("31 23 " + f[0] + " " + f[1] + " " + f[2] + " rw,relatime shared:9 - " + f[3] + " none rw," + f[4] + "\n")
	}
	return b.String()
}

func TestParseHost(t *testing.T) {
	for _, test := range []struct {
		name, table string
		mode        Mode
		unified     string
		legacy      []legacy
	}{
		{"v2 elsewhere", table("0:1 / /proc proc x", "0:2 / /mnt/cg cgroup2 nsdelegate"), V2, "/mnt/cg", nil},
		{"v1", table(
			"0:2 / /sys/fs/cgroup/cpu,cpuacct cgroup cpu,cpuacct",
			"0:3 / /sys/fs/cgroup/systemd cgroup xattr,release_agent=/x,name=systemd",
		), V1, "", []legacy{
			{"/sys/fs/cgroup/cpu,cpuacct", "/", []string{"cpu", "cpuacct"}},
			{"/sys/fs/cgroup/systemd", "/", []string{"name=systemd"}},
		}},
		{"hybrid, twice mounted, in a container", table(
			"0:2 /docker/x /elsewhere/pids cgroup pids",
			"0:3 / /sys/fs/cgroup/unified cgroup2 x",
			"0:3 / /elsewhere/unified cgroup2 x",
			"0:2 /docker/x /sys/fs/cgroup/pids\\040x cgroup pids",
		), Hybrid, "/sys/fs/cgroup/unified", []legacy{{"/sys/fs/cgroup/pids x", "/docker/x", []string{"pids"}}}},
	} {
		h, err := parseHost(test.table)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		same := slices.EqualFunc(h.legacy, test.legacy, func(a, b legacy) bool {
			return a.dir == b.dir && a.root == b.root && slices.Equal(a.controllers, b.controllers)
		})
		if h.mode != test.mode || h.unified != test.unified || !same {
			t.Errorf("%s: %+v", test.name, h)
		}
	}
	if _, err := parseHost("31 23 0:28 / / rw - ext4 /dev/sda rw\n\nx - y\n"); err == nil || !strings.Contains(err.Error(), "mount -t cgroup2") {
		t.Errorf("no hierarchy: %v", err)
	}
}

func FuzzParseHost(f *testing.F) {
	f.Add(table("0:2 / /sys/fs/cgroup/pids cgroup pids", "0:3 / /x cgroup2 y"))
	f.Add("31 23 0:28 / /sys rw - cgroup")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := parseHost(text); err == nil && h.mode == None {
			t.Errorf("%q: no mode and no error", text)
		}
	})
}

func TestSeat(t *testing.T) {
	const text = "9:name=systemd:/s\n4:cpu,cpuacct:/docker/x/a/b\n3:pids:/../y\n0::/u\n"
	for _, test := range []struct {
		l    legacy
		want string
		ok   bool
	}{
		{legacy{root: "/docker/x", controllers: []string{"cpu", "cpuacct"}}, "/a/b", true},
		{legacy{root: "/docker/x/a/b", controllers: []string{"cpu", "cpuacct"}}, "", true},
		{legacy{root: "/docker/x/a/bc", controllers: []string{"cpu", "cpuacct"}}, "", false},
		{legacy{root: "/dock", controllers: []string{"cpu", "cpuacct"}}, "", false},
		{legacy{root: "/", controllers: []string{"name=systemd"}}, "/s", true},
		{legacy{root: "/", controllers: []string{"pids"}}, "", false},
		{legacy{root: "/", controllers: []string{"cpu"}}, "", false},
	} {
		path, ok := test.l.find(text)
		if ok != test.ok || ok && path != test.want {
			t.Errorf("%+v: %q, %v", test.l, path, ok)
		}
	}
}

// fake is a host of plain directories: they have no interface files but those
// that a test makes.
func fake(t *testing.T, controllers string) *host {
	t.Helper()
	h := &host{mode: Hybrid, unified: t.TempDir(), root: "/", legacy: []legacy{
		{dir: t.TempDir(), root: "/", controllers: []string{"pids"}},
	}}
	put(t, h.unified+"/cgroup.controllers", controllers)
	return h
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUndo: a limit that the kernel refuses leaves no directory.
func TestUndo(t *testing.T) {
	h := fake(t, "cpu memory\n")
	limit := int64(5)
	_, err := h.create("/a/b", Options{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}})
	var e *Error
	if !errors.As(err, &e) || e.Path != "/a/b" || !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "set pids.max to 5") {
		t.Errorf("%v", err)
	}
	for _, dir := range h.dirs("/a") {
		if exists(dir) {
			t.Errorf("there is %s", dir)
		}
	}
}

// TestUndoKeepsOthers: a directory that was there before stays.
func TestUndoKeepsOthers(t *testing.T) {
	h := fake(t, "")
	for _, dir := range h.dirs("/a") {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	limit := int64(5)
	if _, err := h.create("/a/b", Options{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}}); err == nil {
		t.Error("no error")
	}
	for _, dir := range h.dirs("/a") {
		if !exists(dir) || exists(dir+"/b") {
			t.Errorf("%s is gone, or has a directory", dir)
		}
	}
}

// TestRefusedEarly: a controller that is missing is noticed with nothing made.
func TestRefusedEarly(t *testing.T) {
	h := fake(t, "cpu\n")
	limit := int64(1 << 20)
	_, err := h.create("/a", Options{Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}})
	if !errors.Is(err, ErrNoController) || !strings.Contains(err.Error(), "memory controller is not available") {
		t.Errorf("%v", err)
	}
	found, _ := filepath.Glob(h.unified + "/*")
	if len(found) != 1 {
		t.Errorf("there is %v", found)
	}
}

// TestEnable: controllers are switched on down the path, and only what is off.
func TestEnable(t *testing.T) {
	h := fake(t, "cpu memory pids\n")
	for _, dir := range []string{"", "/a", "/a/b"} {
		if err := os.MkdirAll(h.unified+dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, h.unified+dir+"/cgroup.subtree_control", "")
	}
	put(t, h.unified+"/cgroup.subtree_control", "memory\n")
	if err := h.enable("/a/b", []string{"memory", "cpu"}); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"/a": "+memory +cpu", "/a/b": ""} {
		if got, _ := os.ReadFile(h.unified + dir + "/cgroup.subtree_control"); string(got) != want {
			t.Errorf("%q: %q", dir, got)
		}
	}
	// A plain file keeps the end of what was there; the kernel's does not.
	if got, _ := os.ReadFile(h.unified + "/cgroup.subtree_control"); !strings.HasPrefix(string(got), "+cpu") || strings.Contains(string(got), "+memory") {
		t.Errorf("at the mount point: %q", got)
	}
	put(t, h.unified+"/a/b/cgroup.controllers", "cpu memory\n")
	put(t, h.unified+"/a/cgroup.subtree_control", "")
	if err := h.enable("/a/b", []string{"memory", "cpu"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(h.unified + "/a/cgroup.subtree_control"); len(got) > 0 {
		t.Errorf("written although on: %q", got)
	}
}

// TestInherit: the cpuset of new groups comes from above, also through several.
func TestInherit(t *testing.T) {
	top := t.TempDir()
	for dir, cpus := range map[string]string{"": "0-3\n", "/a": "", "/a/b": "", "/c": "1"} {
		if err := os.MkdirAll(top+dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, top+dir+"/cpuset.cpus", cpus)
		put(t, top+dir+"/cpuset.mems", cpus)
		put(t, top+dir+"/cgroup.clone_children", "0")
	}
	if err := inherit(top, "/a/b", []string{top + "/a", top + "/a/b"}); err != nil {
		t.Fatal(err)
	}
	if err := inherit(top, "/c", nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/a/cpuset.cpus": "0-3", "/a/b/cpuset.cpus": "0-3", "/a/b/cpuset.mems": "0-3", "/c/cpuset.cpus": "1",
		"/a/cgroup.clone_children": "1", "/a/b/cgroup.clone_children": "0",
	} {
		if got, _ := os.ReadFile(top + name); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPopulated(t *testing.T) {
	for text, want := range map[string]bool{
		"populated 1\nfrozen 0\n": true, "populated 0\nfrozen 0\n": false, "frozen 1\npopulated 1": true, "": false,
	} {
		if populated(text) != want {
			t.Errorf("%q", text)
		}
	}
}
