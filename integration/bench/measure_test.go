package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

// All have their turn in each round, after one to warm up, and another begins
// each time.
func TestMeasureInTurns(t *testing.T) {
	var order []string
	var all []*contender
	finished := 0
	for _, name := range []string{"a", "b"} {
		all = append(all, &contender{name: name, finish: func() error { finished++; return nil },
			once: func(context.Context) (time.Duration, error) { order = append(order, name); return 1, nil }})
	}
	all[1].share = 5
	var got results.Table
	if err := measure(t.Context(), &options{Rounds: 2, Runs: 2}, &got, all); err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields("a a b a a b b a a"); !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if len(got.Rows[0].Runs) != 4 || len(got.Rows[1].Runs) != 2 || finished != 2 {
		t.Errorf("rows %+v, %d finished", got.Rows, finished)
	}
}

func TestMeasureFailure(t *testing.T) {
	finished := false
	bad := errors.New("broken")
	c := &contender{name: "x", finish: func() error { finished = true; return nil },
		once: func(context.Context) (time.Duration, error) { return 0, bad }}
	err := measure(t.Context(), &options{Rounds: 1, Runs: 1}, &results.Table{Title: "T"}, []*contender{c})
	if !errors.Is(err, bad) || err.Error() != "T: x: broken" || !finished {
		t.Errorf("error %v, finished %v", err, finished)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := measure(ctx, &options{Rounds: 1, Runs: 1}, &results.Table{Title: "T"}, []*contender{c}); err == nil || err.Error() != "T: x: interrupted" {
		t.Errorf("error %v after the end of the context", err)
	}
}

// A command that fails shows what it wrote to its standard error.
func TestRunnerShowsStderr(t *testing.T) {
	r, err := newRunner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if d, err := r.time("/", "/bin/sh", "-c", "sleep 0.01"); err != nil || d < 10*time.Millisecond {
		t.Errorf("%v, %v", d, err)
	}
	err = r.quiet("/bin/sh", "-c", "echo why >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3\nwhy") {
		t.Errorf("error %v", err)
	}
	if err := r.quiet("/bin/sh", "-c", "exit 1"); err == nil || strings.Contains(err.Error(), "why") {
		t.Errorf("error %v: stderr of the command before", err)
	}
	if err := r.quiet("/nonexistent"); err == nil {
		t.Error("a command that is not there starts")
	}
}

func TestMarker(t *testing.T) {
	m, err := newMarker(filepath.Join(t.TempDir(), "marker"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if _, err := unix.Write(m.fd, []byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	if err := m.await(2, -1, nil); err != nil {
		t.Error(err)
	}
	r, err := newRunner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	args := []string{"/bin/sh", "-c", "exit 1"}
	p, err := r.start("/", args)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if err := m.await(1, pidfd, func() error { return r.wait(p, args) }); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("error %v of a command that failed first", err)
	}
}
