package inotify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watching reads changes until one is as wanted.
type watching struct {
	t *testing.T
	c chan Change
	w *Watcher
}

func watch(t *testing.T, dirs ...string) *watching {
	t.Helper()
	w, err := Watch(dirs...)
	if err != nil {
		t.Fatal(err)
	}
	s := &watching{t, make(chan Change, 1<<16), w}
	done := make(chan error)
	go func() {
		for {
			list, err := w.Next()
			if err != nil {
				done <- err
				return
			}
			for _, c := range list {
				s.c <- c
			}
		}
	}()
	t.Cleanup(func() {
		w.Close()
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	return s
}

func (s *watching) until(want Change) {
	s.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case c := <-s.c:
			if c == want {
				return
			}
		case <-timeout:
			s.t.Fatalf("%+v was not reported", want)
		}
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestChanges(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	old := filepath.Join(a, "old")
	os.Mkdir(old, 0o700)
	s := watch(t, a, b)

	write(t, filepath.Join(old, "file"))
	s.until(Change{a, "old", "file"})

	fresh := filepath.Join(b, "fresh")
	os.Mkdir(fresh, 0o700)
	s.until(Change{Dir: b, Entry: "fresh"})
	write(t, filepath.Join(fresh, ".tmp"))
	os.Rename(filepath.Join(fresh, ".tmp"), filepath.Join(fresh, "status"))
	s.until(Change{b, "fresh", "status"})

	// Whose last writer ends.
	lock, err := os.OpenFile(filepath.Join(fresh, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.until(Change{b, "fresh", "lock"})
	lock.Close()
	s.until(Change{b, "fresh", "lock"})

	// A directory that is removed and made anew is watched again.
	os.RemoveAll(fresh)
	s.until(Change{b, "fresh", "status"})
	s.until(Change{Dir: b, Entry: "fresh"})
	os.Mkdir(fresh, 0o700)
	s.until(Change{Dir: b, Entry: "fresh"})
	write(t, filepath.Join(fresh, "again"))
	s.until(Change{b, "fresh", "again"})
}

// What happens faster than it is read is reported in the end.
func TestOverflow(t *testing.T) {
	dir := t.TempDir()
	w, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	limit := 16384
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		fmt.Sscan(string(data), &limit)
	}
	for i := range limit + 10 {
		path := filepath.Join(dir, fmt.Sprint(i%7))
		if os.Mkdir(path, 0o700) != nil {
			os.Remove(path)
		}
	}
	last := filepath.Join(dir, "last")
	os.Mkdir(last, 0o700)
	for {
		list, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if c == (Change{Dir: dir}) {
				write(t, filepath.Join(last, "file"))
			}
			if c == (Change{dir, "last", "file"}) {
				return
			}
		}
	}
}

func TestMissingDirectory(t *testing.T) {
	if _, err := Watch(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
