package namespaces

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// inside returns what a thread in ns sees as its own namespace.
func inside(t *testing.T, ns *os.File, name string) string {
	t.Helper()
	var link string
	err := Do(ns, func() (err error) {
		link, err = os.Readlink("/proc/thread-self/ns/" + name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestDoEntersAndLeaves(t *testing.T) {
	s := newSet(t, Network, IPC, UTS)
	home := testkit.Held()
	for _, k := range s.Kinds() {
		var st unix.Stat_t
		if err := stat(s.File(k), &st); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s:[%d]", k.ProcName(), st.Ino)
		if got := inside(t, s.File(k), k.ProcName()); got != want {
			t.Errorf("%s: inside of %s, want %s", k, got, want)
		}
		// One kind at a time: the others stay.
		for _, other := range s.Kinds() {
			home, _ := os.Readlink("/proc/self/ns/" + other.ProcName())
			if got := inside(t, s.File(k), other.ProcName()); other != k && got != home {
				t.Errorf("in the %s namespace, %s is %s, want %s", k, other, got, home)
			}
		}
	}
	home.Check(t)
}

func TestDoReturnsError(t *testing.T) {
	s := newSet(t, UTS)
	want := errors.New("sorry")
	if err := Do(s.File(UTS), func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
}

func TestDoRefuses(t *testing.T) {
	never := func() error { t.Error("f was called"); return nil }
	for _, k := range []Kind{Mount, User, PID, Time} {
		f, err := Open(k, "/proc/self/ns/"+k.ProcName())
		if err != nil {
			t.Fatal(err)
		}
		if err := Do(f, never); !errors.Is(err, ErrKind) {
			t.Errorf("%s: %v", k, err)
		}
		f.Close()
		if err := Do(f, never); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s closed: %v", k, err)
		}
	}
	if err := Do(nil, never); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
}

func TestDoPanicAndGoexit(t *testing.T) {
	s := newSet(t, Network)
	home := testkit.Held()
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("recovered %v", v)
			}
		}()
		Do(s.File(Network), func() error { panic("boom") })
		t.Error("went on after a panic")
	}()
	done := make(chan bool)
	go func() {
		after := false
		defer func() { done <- after }()
		Do(s.File(Network), func() error { runtime.Goexit(); return nil })
		after = true
	}()
	if <-done {
		t.Error("went on after Goexit")
	}
	home.Check(t)
}

// TestDoLeavesNoPoisonedThread takes the thread's capabilities away inside of
// f, so that going back must fail.
func TestDoLeavesNoPoisonedThread(t *testing.T) {
	s := newSet(t, Network)
	tid := 0
	err := Do(s.File(Network), func() error {
		tid = unix.Gettid()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		return unix.Capset(&hdr, &none[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, fmt.Sprintf("thread %d ends, in a foreign namespace as it is", tid), func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestDoWithoutPrivilege checks the error of a thread that may not enter.
func TestDoWithoutPrivilege(t *testing.T) {
	s := newSet(t, Network)
	var err error
	onThread(func() bool {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&hdr, &none[0]); err == nil {
			_, err = enter(s.File(Network), Network)
		}
		return false
	})
	e, ok := errors.AsType[*Error](err)
	if !errors.Is(err, unix.EPERM) || !ok || e.Op != "enter" {
		t.Errorf("got %v", err)
	}
}

func TestDoNeverUsesMainThread(t *testing.T) {
	s := newSet(t, UTS)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				Do(s.File(UTS), func() error {
					if unix.Gettid() == unix.Getpid() {
						t.Error("on the main thread")
					}
					return nil
				})
			}
		})
	}
	wg.Wait()
}

func TestDoWhileClosing(t *testing.T) {
	for range 50 {
		s := newSet(t, UTS)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					err := Do(s.File(UTS), func() error { return nil })
					if errors.Is(err, os.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		s.Close()
		wg.Wait()
	}
}

func BenchmarkDo(b *testing.B) {
	s := newSet(b, Network)
	for b.Loop() {
		Do(s.File(Network), func() error { return nil })
	}
}
