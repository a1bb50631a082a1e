package namespaces

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKindTable(t *testing.T) {
	for _, k := range Kinds() {
		if !k.Valid() || k.Flag() == 0 {
			t.Errorf("%s: no flag", k)
		}
		back, err := kindOfFlag(k.Flag())
		if err != nil || back != k {
			t.Errorf("%s: flag leads to %q, %v", k, back, err)
		}
		f, err := Open(k, "/proc/self/ns/"+k.ProcName())
		if err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		if got, err := KindOf(f); got != k || err != nil {
			t.Errorf("KindOf %s = %q, %v", k, got, err)
		}
		f.Close()
	}
	if k := Kind("disk"); k.Valid() || k.Flag() != 0 || k.ProcName() != "" {
		t.Errorf("unknown kind is taken as %+v", k.info())
	}
	if _, err := kindOfFlag(1); !errors.Is(err, ErrKind) {
		t.Errorf("unknown flag: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		kind Kind
		path string
		want error
		text string
	}{
		{"missing", Network, filepath.Join(dir, "none"), os.ErrNotExist, "none: no such file"},
		{"file", Network, file, ErrNotNamespace, "want a file of /proc/PID/ns"},
		{"fifo that nobody writes", Network, fifo, ErrNotNamespace, ""},
		{"proc file", Network, "/proc/self/status", ErrNotNamespace, ""},
		{"directory", Network, dir, ErrNotNamespace, ""},
		{"other kind", Network, "/proc/self/ns/uts", ErrKind, "it is a uts namespace, wanted a network namespace"},
		{"unknown kind", "disk", "/proc/self/ns/uts", ErrKind, `unknown kind "disk"`},
	} {
		f, err := Open(c.kind, c.path)
		if f != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKindOfRefuses(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := KindOf(f); !errors.Is(err, ErrNotNamespace) {
		t.Errorf("/dev/null: %v", err)
	}
	f.Close()
	if _, err := KindOf(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed file: %v", err)
	}
	if _, err := KindOf(nil); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
}

func TestSame(t *testing.T) {
	a, b := newSet(t, Network, UTS), newSet(t, Network)
	own, err := Open(Network, "/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	again, err := Open(Network, a.Path(Network))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, c := range []struct {
		name string
		x, y *os.File
		want bool
	}{
		{"itself", a.File(Network), a.File(Network), true},
		{"opened twice", a.File(Network), again, true},
		{"two sets", a.File(Network), b.File(Network), false},
		{"other kind", a.File(Network), a.File(UTS), false},
		{"the process's own", a.File(Network), own, false},
	} {
		if got, err := Same(c.x, c.y); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if _, err := Same(nil, own); err == nil {
		t.Error("no error for nil")
	}
}

// newSet makes a set that ends with the test.
func newSet(t testing.TB, kinds ...Kind) *Set {
	t.Helper()
	return newSetWith(t, Options{}, kinds...)
}

func newSetWith(t testing.TB, o Options, kinds ...Kind) *Set {
	t.Helper()
	s, err := o.New(kinds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
