package cgroups_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// counter starts a script that makes a file longer all the time.
func counter(t *testing.T, g *cgroups.Group) (length func() int64) {
	t.Helper()
	name := t.TempDir() + "/count"
	start(t, g, "while :; do echo x; done >"+name)
	return func() int64 {
		s, err := os.Stat(name)
		if err != nil {
			return 0
		}
		return s.Size()
	}
}

func TestFreeze(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	length := counter(t, g)
	testkit.Eventually(t, "it counts", func() bool { return length() > 0 })
	for range 2 { // freezing a frozen group is fine
		if err := g.Freeze(testkit.Soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	if frozen, err := g.Frozen(); err != nil || !frozen {
		t.Errorf("frozen %v, %v", frozen, err)
	}
	stood := length()
	time.Sleep(50 * time.Millisecond) // in which it would write a megabyte
	if n := length(); n != stood {
		t.Errorf("a frozen group wrote %d bytes", n-stood)
	}
	// What changes its limits does not thaw it.
	if has(t, "pids") {
		if err := g.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](100)}}); err != nil {
			t.Error(err)
		}
	}
	if err := g.Update(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}); err != nil {
		t.Error(err)
	}
	if frozen, _ := g.Frozen(); !frozen || length() != stood {
		t.Error("Update has thawed it")
	}
	for range 2 {
		if err := g.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if frozen, err := g.Frozen(); err != nil || frozen {
		t.Errorf("frozen %v, %v", frozen, err)
	}
	testkit.Eventually(t, "it goes on", func() bool { return length() > stood })
}

// TestFrozen: a frozen group is neither made anew nor entered, nor is one below
// it; and it is killed all the same.
func TestFrozen(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	top, err := cgroups.Load(prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, top)
	cmd := start(t, g, "sleep 100")
	if err := top.Freeze(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if frozen, err := g.Frozen(); err != nil || !frozen {
		t.Errorf("below a frozen group: %v, %v", frozen, err)
	}
	if _, err := cgroups.New(prefix+"/b", nil); !errors.Is(err, cgroups.ErrFrozen) || !strings.Contains(err.Error(), "thaw") {
		t.Errorf("New below a frozen group: %v", err)
	}
	missing(t, prefix+"/b")
	if err := g.Freeze(testkit.Soon(t)); err == nil {
		err := g.Enter(func() error { t.Error("entered"); return nil })
		if !errors.Is(err, cgroups.ErrFrozen) {
			t.Errorf("Enter: %v", err)
		}
	}
	if err := top.Kill(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := top.Thaw(); err != nil {
		t.Fatal(err)
	}
	// The thread on which the command was started may still be about to leave.
	testkit.Eventually(t, "it is empty", func() bool { list, err := top.Procs(); return err == nil && len(list) == 0 })
	if err := top.Freeze(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := cgroups.New(prefix, nil); !errors.Is(err, cgroups.ErrFrozen) {
		t.Errorf("New of a frozen group: %v", err)
	}
}

// TestFreezeNothing: what is gone is neither frozen nor thawed.
func TestFreezeNothing(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	drop(t, g)
	if err := g.Freeze(testkit.Soon(t)); !errors.Is(err, cgroups.ErrNotExist) {
		t.Errorf("Freeze: %v", err)
	}
	if err := g.Thaw(); !errors.Is(err, cgroups.ErrNotExist) {
		t.Errorf("Thaw: %v", err)
	}
	if frozen, err := g.Frozen(); frozen || err != nil {
		t.Errorf("frozen %v, %v", frozen, err)
	}
}

// TestFreezeWhileStarting: a thread of this process that is in the group to
// start something is never caught there, which would stop all of the process.
func TestFreezeWhileStarting(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for started := 0; started < 50; {
			cmd := exec.Command("/bin/true")
			err := born(g, cmd)
			switch {
			case err == nil:
				started++
				go cmd.Wait()
			case !errors.Is(err, cgroups.ErrFrozen):
				t.Error(err)
				return
			}
		}
	}()
	for running := true; running; {
		if err := g.Freeze(testkit.Soon(t)); err != nil {
			t.Error(err)
		}
		runtime.GC() // which waits for all threads
		if err := g.Thaw(); err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
			running = false
		default:
		}
	}
}
