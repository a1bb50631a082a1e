package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestParseMountLine(t *testing.T) {
	m, err := parseMountLine(`36 35 98:0 /mnt1 /with\040blank\134 ro,nosuid,relatime,idmapped master:1 - ext4 /dev/root\040x rw,errors=continue` + "\n")
	want := mountLine{id: "36", device: "98:0", root: "/mnt1", target: `/with blank\`, idmap: true,
		attributes: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID, kind: "ext4", source: "/dev/root x"}
	if err != nil || m != want {
		t.Errorf("%+v, %v", m, err)
	}
	for _, line := range []string{"", "36 35 98:0", "36 35 98:0 / / rw - "} {
		if _, err := parseMountLine(line); err == nil {
			t.Errorf("%q is understood", line)
		}
	}
}

func FuzzParseMountLine(f *testing.F) {
	f.Add(`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`)
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, line string) {
		if m, err := parseMountLine(line); err == nil && (m.id == "" || m.target == "" || m.kind == "") {
			t.Errorf("%q: %+v", line, m)
		}
	})
}

// What the host has mounted too is the host's, but for file systems of which there
// is one for a namespace that the container shares.
func TestExternalMounts(t *testing.T) {
	host := []mountLine{{device: "8:1"}, {device: "0:20"}}
	all := &Container{record: record{Namespaces: []specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "cgroup"}}}}
	none := &Container{}
	for _, c := range []struct {
		in   *Container
		m    mountLine
		want bool
	}{
		{all, mountLine{device: "8:1", kind: "ext4"}, true},
		{all, mountLine{device: "0:99", kind: "tmpfs"}, false},
		{all, mountLine{device: "0:20", kind: "proc"}, true},
		{none, mountLine{device: "0:20", kind: "proc"}, false},
		{none, mountLine{device: "0:20", kind: "sysfs"}, false},
		{all, mountLine{device: "0:20", kind: "sysfs"}, true},
		{all, mountLine{device: "0:20", kind: "cgroup2"}, false},
		{none, mountLine{device: "0:20", kind: "cgroup"}, true},
	} {
		if got := c.in.external(&c.m, host); got != c.want {
			t.Errorf("%+v with %v: %v", c.m, c.in.record.Namespaces, got)
		}
	}
}

func TestGroupMode(t *testing.T) {
	for name, want := range map[string]rpc.CriuCgMode{"": rpc.CriuCgMode_DEFAULT, "soft": rpc.CriuCgMode_SOFT, "ignore": rpc.CriuCgMode_IGNORE} {
		if got, err := groupMode(name, true); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if got, err := groupMode("full", false); err != nil || got != rpc.CriuCgMode_IGNORE {
		t.Errorf("without a group: %v, %v", got, err)
	}
	if _, err := groupMode("hard", true); err == nil || !strings.Contains(err.Error(), "soft, full, strict or ignore") {
		t.Error(err)
	}
}

// The names of descriptors are those that runc reads and writes.
func TestStreamNames(t *testing.T) {
	dir := t.TempDir()
	if names, err := readStreams(dir); names != nil || err != nil {
		t.Errorf("without a file: %v, %v", names, err)
	}
	want := []string{"/dev/null", "pipe:[7]", "file[1f:2a]"}
	if err := writeStreams(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readStreams(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for name, want := range map[string][2]bool{
		"/dev/null": {false, false}, "pipe:[7]": {true, false}, "inner pipe:[7]": {false, false}, "file[1f:2a]": {true, true}, "tty[1:2]": {true, true}, "": {false, false},
	} {
		if got := [2]bool{inherited(name), external(name)}; got != want {
			t.Errorf("%q: inherited, external %v", name, got)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, descriptorsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readStreams(dir); err == nil || !strings.Contains(err.Error(), descriptorsFile) {
		t.Error(err)
	}
}

func TestCheckpointOptions(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "before"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &CheckpointOptions{CRIU: CRIU{ImagePath: filepath.Join(dir, "now")}, ParentPath: "../before", PageServer: "[::1]:80"}
	os.Mkdir(o.ImagePath, 0o755)
	if parent, err := o.parent(); err != nil || parent != "../before" {
		t.Errorf("%q, %v", parent, err)
	}
	if s, err := o.pageServer(); err != nil || s.GetAddress() != "::1" || s.GetPort() != 80 {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{"host", ":80", "host:", "host:0", "host:65536", "host:x"} {
		if _, err := (&CheckpointOptions{PageServer: bad}).pageServer(); err == nil {
			t.Errorf("page server %q is taken", bad)
		}
	}
}
