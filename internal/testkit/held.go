package testkit

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Holdings are what a process holds at a moment.
type Holdings struct {
	things     map[string]bool
	goroutines int
}

// Held looks at what this process holds now: descriptors, goroutines, children,
// threads that are elsewhere than itself, and what has Mark in its name on the
// host.
func Held() *Holdings {
	return &Holdings{things(), len(goroutines())}
}

// Check fails the test that more is held than before.
func (h *Holdings) Check(t testing.TB) {
	t.Helper()
	if left := h.Leaks(); len(left) > 0 {
		t.Errorf("left over:\n  %s", strings.Join(left, "\n  "))
	}
}

// Leaks lists what was not held before. It gives that a while to go: threads and
// goroutines end after what they did has. Garbage is not collected meanwhile,
// which would close files that nobody closed, until pipes are all that is left:
// those that package net keeps for splice(2) are closed so.
func (h *Holdings) Leaks() (left []string) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	Poll(func() string {
		left = h.leaks()
		if len(left) > 0 && !slices.ContainsFunc(left, func(what string) bool { return !strings.Contains(what, " of pipe:") }) {
			runtime.GC()
		}
		return strings.Join(left, "\n")
	})
	return left
}

func (h *Holdings) leaks() (left []string) {
	for what := range things() {
		if !h.things[what] {
			left = append(left, what)
		}
	}
	slices.Sort(left)
	if now := goroutines(); len(now) > h.goroutines {
		left = append(left, now...)
	}
	return left
}

func things() map[string]bool {
	return maps.Collect(func(yield func(string, bool) bool) {
		for _, list := range [][]string{Descriptors(), Children(), Strays(), Outside(Mark)} {
			for _, what := range list {
				if !yield(what, true) {
					return
				}
			}
		}
	})
}

// goroutines returns their stacks, without that of os/signal, which package
// testing starts for fuzzing and a program keeps.
func goroutines() []string {
	stacks.Lock()
	defer stacks.Unlock()
	all := strings.Split(string(stacks.text[:runtime.Stack(stacks.text, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "os/signal.loop") })
}

// stacks is made once: polling is not to make garbage that is then collected.
var stacks = struct {
	sync.Mutex
	text []byte
}{text: make([]byte, 1<<20)}

// Descriptors lists the open files of this process, but for those of Go itself:
// its poller, and the quota that it takes GOMAXPROCS from.
func Descriptors() (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		switch {
		case err != nil: // that of the directory itself
		case strings.HasPrefix(to, "anon_inode:[event"):
		case strings.HasPrefix(to, "/sys/fs/cgroup/") && strings.HasPrefix(filepath.Base(to), "cpu."):
		default:
			list = append(list, "descriptor "+e.Name()+" of "+to)
		}
	}
	return list
}

// Children lists the processes that this one has to reap.
func Children() (list []string) {
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for pid := range strings.FieldsSeq(string(children)) {
			args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			list = append(list, "child "+pid+" "+strings.TrimSpace(string(comm))+": "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return list
}

// Strays lists the threads in other namespaces or cgroups than the process.
func Strays() (list []string) {
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "time", "user", "uts"} {
		home, _ := os.Readlink("/proc/self/ns/" + kind)
		for _, task := range tasks {
			if at, err := os.Readlink(task + "/ns/" + kind); err == nil && at != home {
				list = append(list, "thread in "+at)
			}
		}
	}
	home, _ := os.ReadFile("/proc/self/cgroup")
	for _, task := range tasks {
		if at, err := os.ReadFile(task + "/cgroup"); err == nil && string(at) != string(home) {
			list = append(list, "thread in the cgroups "+strings.Join(strings.Fields(string(at)), " "))
		}
	}
	return list
}
