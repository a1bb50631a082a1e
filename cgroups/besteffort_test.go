package cgroups

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestBestEffort: what is missing is told, and left out.
func TestBestEffort(t *testing.T) {
	h := fake(t, "pids")
	for _, dir := range h.dirs("/a") {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, dir+"/cgroup.procs", "")
		put(t, dir+"/cgroup.type", "domain")
		put(t, dir+"/pids.max", "")
	}
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: p[int64](1)}, Pids: &specs.LinuxPids{Limit: p[int64](7)},
		Network: &specs.LinuxNetwork{ClassID: p[uint32](1)},
	}
	if _, err := h.create("/a", Options{Resources: r}); !errors.Is(err, ErrNoController) {
		t.Errorf("without best effort: %v", err)
	}
	var left []string
	if _, err := h.create("/a", Options{Resources: r, BestEffort: true, LeftOut: func(err error) { left = append(left, err.Error()) }}); err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 || !strings.Contains(left[0], "memory") || !strings.Contains(left[1], "net_cls") {
		t.Errorf("left out: %q", left)
	}
	if text, err := readFile(h.legacy[0].dir + "/a/pids.max"); err != nil || text != "7" {
		t.Errorf("pids.max: %q, %v", text, err)
	}
}

// TestParseRule: what the kernel lists is read as it is written.
func TestParseRule(t *testing.T) {
	for _, line := range []string{"c 1:3 rwm", "b *:* m", "c 136:* rw"} {
		if r, ok := parseRule(line); !ok || r.String() != line {
			t.Errorf("%s: %v, %v", line, r, ok)
		}
	}
	for _, line := range []string{"", "c", "c 1 r", "x 1:1 r", "c 1:x r", "c 1:1 q", "c 1:1 r w", "c -1:1 r"} {
		if r, ok := parseRule(line); ok {
			t.Errorf("%q is %v", line, r)
		}
	}
}
