package cgroups_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// BenchmarkGroup is what a container's start and end pay: the group made and
// removed. (PEAPOD_TEST_CGROUPS=v2 under unshare -m measures v2.)
func BenchmarkGroup(b *testing.B) {
	testkit.NeedRoot(b)
	for name, r := range map[string]*specs.LinuxResources{
		"plain":   nil,
		"devices": {Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g, err := cgroups.New(prefix, r)
				if err != nil {
					b.Fatal(err)
				}
				if err := g.Delete(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFloor is the two system calls that there must be, on v2.
func BenchmarkFloor(b *testing.B) {
	testkit.NeedRoot(b)
	if mode(b) == cgroups.V1 {
		b.Skip("no cgroup v2")
	}
	dir := filepath.Dir(two(b, prefix, ""))
	for b.Loop() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(dir); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBirth is the start of a process: outside of groups, born in one by
// Descriptor and Enter, and moved by Add.
func BenchmarkBirth(b *testing.B) {
	testkit.NeedRoot(b)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer drop(b, g)
	for _, way := range []struct {
		name  string
		start func(*exec.Cmd) error
	}{
		{"outside", (*exec.Cmd).Start},
		{"born", func(cmd *exec.Cmd) error { return born(g, cmd) }},
		{"added", func(cmd *exec.Cmd) error {
			if err := cmd.Start(); err != nil {
				return err
			}
			return g.Add(cmd.Process.Pid)
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("sleep", "100")
				if err := way.start(cmd); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				b.StartTimer()
			}
		})
	}
}
