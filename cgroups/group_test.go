package cgroups_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestOtherModes runs the tests once more in mount namespaces that have cgroup
// v2 alone and, on a hybrid host, v1 alone.
func TestOtherModes(t *testing.T) {
	testkit.NeedRoot(t)
	if os.Getenv(inside) != "" {
		return // this is one of them
	}
	var modes []string
	switch mode(t) {
	case cgroups.Hybrid:
		modes = []string{"v1", "v2"}
	case cgroups.V1:
		modes = []string{"v2"}
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) { again(t, mode) })
	}
}

// again runs this test binary in a mount namespace of its own.
func again(t *testing.T, mode string) {
	args := []string{"-test.count=1", "-test.timeout=5m"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inside+"="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("\n%s", out)
	}
}

func TestLife(t *testing.T) {
	testkit.NeedRoot(t)
	path := prefix + "/life/one"
	missing(t, prefix)
	g, err := cgroups.New(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	top, err := cgroups.Load(prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, top)
	if g.Path() != path {
		t.Errorf("path %q", g.Path())
	}
	cmd := start(t, g, "sleep 100")
	checkSeats(t, cmd.Process.Pid, path)

	again, err := cgroups.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the shell has become or started sleep", func() bool {
		list, err := again.Procs()
		return err == nil && slices.Contains(list, cmd.Process.Pid)
	})
	if list, err := top.Procs(); err != nil || !slices.Contains(list, cmd.Process.Pid) {
		t.Errorf("the group above has %v, %v", list, err)
	}
	if _, err := cgroups.New(path, nil); !errors.Is(err, cgroups.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("New in a used group: %v", err)
	}
	if err := again.Kill(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if list, err := g.Procs(); err != nil || len(list) > 0 {
		t.Errorf("after Kill: %v, %v", list, err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("ended by %v", err)
	}
	if err := g.Delete(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	missing(t, path)
	for name, f := range map[string]func() error{
		"Delete": func() error { return g.Delete(testkit.Soon(t)) },
		"Kill":   func() error { return g.Kill(testkit.Soon(t)) },
	} {
		if err := f(); err != nil {
			t.Errorf("%s of a group that is gone: %v", name, err)
		}
	}
	if _, err := g.Procs(); !isNotExist(err) {
		t.Errorf("Procs of a group that is gone: %v", err)
	}
	if _, _, err := g.Descriptor(); mode(t) != cgroups.V1 && !isNotExist(err) {
		t.Errorf("Descriptor of a group that is gone: %v", err)
	}
	if err := g.Add(os.Getpid()); !isNotExist(err) {
		t.Errorf("Add to a group that is gone: %v", err)
	}
}

// checkSeats checks that a process is in the group in every hierarchy.
func checkSeats(t *testing.T, pid int, path string) {
	t.Helper()
	list := seats(t, pid)
	if len(list) == 0 {
		t.Error("no line in /proc/PID/cgroup")
	}
	for names, seat := range list {
		if mode(t) == cgroups.V2 && names != "" || mode(t) == cgroups.V1 && names == "" {
			continue // mounted elsewhere on the machine, not in this namespace
		}
		if seat != path {
			t.Errorf("hierarchy %q: in %s, not %s", names, seat, path)
		}
	}
}

func TestEmptyGroupIsTakenOver(t *testing.T) {
	testkit.NeedRoot(t)
	a, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, a)
	if _, err := cgroups.New(prefix, nil); err != nil {
		t.Error(err)
	}
}

// TestLeftOverIsCleared: what a killed command left below /peapod has no
// effect on the next group of the same path.
func TestLeftOverIsCleared(t *testing.T) {
	testkit.NeedRoot(t)
	path := "/peapod" + prefix + "/a"
	g, err := cgroups.New(path, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { drop(t, g); _ = g.DeleteParents() }()
	if _, err := cgroups.New(path+"/below", nil); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if g, err = cgroups.New(path, nil); err != nil {
		t.Fatal(err)
	}
	if text, err := output(t, g, ": < /dev/kmsg"); err != nil {
		t.Errorf("%v, %s", err, text)
	}
	if left := groups(path + "/below"); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
}

func TestAdd(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	checkSeats(t, cmd.Process.Pid, prefix)
	if err := g.Add(0); !errors.Is(err, cgroups.ErrInvalid) {
		t.Errorf("Add(0): %v", err)
	}
	if err := g.Add(1 << 22); !errors.Is(err, unix.ESRCH) {
		t.Errorf("Add of no process: %v", err)
	}
}

// TestKillForking: what forks all the time, in nested groups, is killed too.
func TestKillForking(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	var all []*exec.Cmd
	for _, name := range []string{"/a", "/a/b", "/c"} {
		sub, err := cgroups.New(prefix+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, start(t, sub, "while :; do sleep 100 & sleep 0.01; done"))
	}
	testkit.Eventually(t, "ten processes", func() bool {
		list, err := g.Procs()
		return err == nil && len(list) > 10
	})
	if err := g.Kill(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if list, err := g.Procs(); err != nil || len(list) > 0 {
		t.Errorf("after Kill: %v, %v", list, err)
	}
	for _, cmd := range all {
		_ = cmd.Wait()
	}
}

func TestDeleteWaits(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	cmd := start(t, g, "sleep 100")
	short, cancel := contextFor(50 * time.Millisecond)
	defer cancel()
	if err := g.Delete(short); !errors.Is(err, cgroups.ErrBusy) || !strings.Contains(err.Error(), "process") {
		t.Errorf("Delete of a used group: %v", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Delete(testkit.Soon(t)); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(30 * time.Millisecond) // not waited for: Delete may come first or last
	_ = g.Kill(testkit.Soon(t))
	wg.Wait()
	_ = cmd.Wait()
	missing(t, prefix)
}

// TestTogether: groups with common parents, made and removed at once.
func TestTogether(t *testing.T) {
	testkit.NeedRoot(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				g, err := cgroups.New("/peapod"+prefix+"/"+string(rune('a'+i)), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := g.Delete(testkit.Soon(t)); err != nil {
					t.Error(err)
				}
				if err := g.DeleteParents(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	missing(t, "/peapod"+prefix)
}

// TestParentsStay: only peapod's own parents are removed.
func TestParentsStay(t *testing.T) {
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
	if err := g.Delete(testkit.Soon(t)); err != nil {
		t.Error(err)
	}
	if err := g.DeleteParents(); err != nil {
		t.Error(err)
	}
	if _, err := cgroups.Load(prefix); err != nil {
		t.Errorf("an administrator's group was removed: %v", err)
	}
}

// TestEnterComesBack: the thread that was on a visit is at home again, and the
// error of the function is passed on.
func TestEnterComesBack(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	own := errors.New("own")
	for range 20 {
		if err := g.Enter(func() error { return own }); err != own {
			t.Errorf("Enter gives %v", err)
		}
	}
	testkit.Eventually(t, "all threads are at home", func() bool { return len(testkit.Strays()) == 0 })
	drop(t, g)
	if err := g.Enter(func() error { return nil }); mode(t) != cgroups.V2 && !isNotExist(err) {
		t.Errorf("Enter of a group that is gone: %v", err)
	}
	testkit.Eventually(t, "all threads are at home", func() bool { return len(testkit.Strays()) == 0 })
}

// TestHierarchies: a group has a directory in each of them, and nowhere else.
func TestHierarchies(t *testing.T) {
	testkit.NeedRoot(t)
	list, err := cgroups.Hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	two := 0
	for _, h := range list {
		if _, err := os.Stat(h.Dir + prefix + "/cgroup.procs"); err != nil {
			t.Error(err)
		}
		if h.Unified {
			two++
		} else if h.Name == "" || len(h.Options) == 0 {
			t.Errorf("%+v", h)
		}
	}
	want := map[cgroups.Mode][2]bool{cgroups.V1: {true, false}, cgroups.V2: {false, true}, cgroups.Hybrid: {true, true}}[mode(t)]
	if (two == 1) != want[1] || (len(list) > two) != want[0] || len(groups(prefix)) != len(list) {
		t.Errorf("mode %v: %+v, %v", mode(t), list, groups(prefix))
	}
}

// TestNothingIsMade: what is refused leaves no trace.
func TestNothingIsMade(t *testing.T) {
	testkit.NeedRoot(t)
	flat := false
	for _, test := range []struct {
		name string
		r    *specs.LinuxResources
		want error
		text string
	}{
		{"hierarchy", &specs.LinuxResources{Memory: &specs.LinuxMemory{UseHierarchy: &flat}}, cgroups.ErrUnsupported, "useHierarchy"},
		{"controller", &specs.LinuxResources{Unified: map[string]string{"nothing.max": "1"}}, cgroups.ErrNoController, "nothing"},
		{"value", &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "x"}}, unix.EINVAL, "cgroup.max.depth"},
	} {
		if mode(t) == cgroups.V1 && test.name == "value" {
			continue
		}
		_, err := cgroups.New(prefix+"/"+test.name, test.r)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), prefix) {
			t.Errorf("%s: %v", test.name, err)
		}
		missing(t, prefix)
	}
}
