package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// logsOf returns a pod's lines as "container: text".
func (s *stage) logsOf(name string, o LogOptions) (lines []string) {
	s.t.Helper()
	err := s.store.Logs(testkit.Soon(s.t), name, o, func(l Line) { lines = append(lines, l.Container+": "+string(l.Text)) })
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

func TestLogs(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "echo 1; echo 2; echo 3; part end"), box("b", "stderr x"))
	s.run(p, func(o *Options) { o.Keep = true })
	name := p.Metadata.Name
	for _, tt := range []struct {
		o    LogOptions
		want []string
	}{
		{LogOptions{Tail: -1}, []string{"a: 1", "a: 2", "a: 3", "a: end", "b: x"}},
		{LogOptions{Tail: 0}, nil},
		{LogOptions{Tail: 2}, []string{"a: 3", "a: end", "b: x"}},
		{LogOptions{Tail: 100, Container: "b"}, []string{"b: x"}},
		{LogOptions{Tail: -1, Follow: true, Container: "b"}, []string{"b: x"}},
		{LogOptions{Tail: 1, Follow: true}, []string{"a: end", "b: x"}},
	} {
		if got := s.logsOf(name, tt.o); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
	if err := s.store.Logs(t.Context(), name, LogOptions{Container: "c"}, nil); err == nil || !strings.Contains(err.Error(), `no container "c"`) {
		t.Error(err)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
}

// What was written since a moment, and by the run before the last.
func TestLogsOfRuns(t *testing.T) {
	s := newStage(t)
	quickly(t)
	p := shared(s.pod(box("a", "count /shared/n; echo run; until /shared/go; flaky /shared/m 2; echo last"), box("b", "echo once")))
	p.Spec.RestartPolicy = RestartOnFailure
	sup, _ := s.start(p, func(o *Options) { o.Keep = true })
	name := p.Metadata.Name
	if err := s.store.Logs(t.Context(), name, LogOptions{Tail: -1, Previous: true}, nil); !errors.Is(err, ErrNoPrevious) || !strings.Contains(err.Error(), "its containers have not") {
		t.Errorf("before the first end: %v", err)
	}
	testkit.Eventually(t, "the first run has written", func() bool { return len(s.logsOf(name, LogOptions{Container: "a", Tail: -1})) > 0 })
	if err := os.WriteFile(filepath.Join(sup.volumes["shared"], "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sup.Wait()
	all := s.logsOf(name, LogOptions{Container: "a", Tail: -1})
	if len(all) < 3 || all[len(all)-1] != "a: last" {
		t.Fatalf("all: %q", all)
	}
	first := s.logsOf(name, LogOptions{Tail: -1, Previous: true})
	if len(first) == 0 || len(first) >= len(all) || !slices.Equal(first, all[:len(first)]) {
		t.Errorf("previous: %q of %q", first, all)
	}
	if err := s.store.Logs(t.Context(), name, LogOptions{Container: "b", Previous: true}, nil); !errors.Is(err, ErrNoPrevious) || !strings.Contains(err.Error(), "container b has not") {
		t.Errorf("of a container that ran once: %v", err)
	}
	if err := s.store.Logs(t.Context(), name, LogOptions{Previous: true, Follow: true}, nil); err == nil || errors.Is(err, ErrNoPrevious) {
		t.Errorf("previous and follow: %v", err)
	}
	again := sup.Status().ContainerStatuses[0].State.Terminated.StartedAt
	if got := s.logsOf(name, LogOptions{Container: "a", Tail: -1, Since: again}); !slices.Equal(got, all[len(first):]) {
		t.Errorf("since the second start: %q of %q", got, all)
	}
	if got := s.logsOf(name, LogOptions{Container: "a", Tail: 1, Since: again}); !slices.Equal(got, []string{"a: last"}) {
		t.Errorf("the last since the second start: %q", got)
	}
	if got := s.logsOf(name, LogOptions{Tail: -1, Since: time.Now().Add(time.Hour)}); len(got) > 0 {
		t.Errorf("since what is to come: %q", got)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
}

// Following gives each line once, in order, over rotations and restarts, and
// ends with the pod.
func TestFollow(t *testing.T) {
	s := newStage(t)
	quickly(t)
	const lines, width = 14000, 1000 // more than a file's 10 MiB
	p := shared(s.pod(box("a", fmt.Sprintf("count /shared/n; until /shared/go; flood %d %d; flaky /shared/m 2", lines, width))))
	p.Spec.RestartPolicy = RestartOnFailure
	sup, out := s.start(p, func(o *Options) { o.Output = nil })
	_ = out
	name := p.Metadata.Name
	got := make(chan []string)
	ready := make(chan struct{})
	go func() {
		var list []string
		err := s.store.Logs(testkit.Soon(t), name, LogOptions{Tail: -1, Follow: true}, func(l Line) {
			if list = append(list, string(l.Text)); len(list) == 1 {
				close(ready)
			}
		})
		if err != nil {
			t.Error(err)
		}
		got <- list
	}()
	<-ready
	if err := os.WriteFile(filepath.Join(s.data(name), "volumes", "shared", "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.finish(sup)
	list := <-got
	if len(list) != 2*lines+5 { // each run: its start, the flood, flaky's line
		t.Fatalf("%d lines, want %d", len(list), 2*lines+5)
	}
	if list[0] != "start 1" || list[lines+2] != "start 2" || list[len(list)-1] != "fine" {
		t.Errorf("%q … %q … %q", list[0], list[lines+2], list[len(list)-1])
	}
	for i := range lines {
		if want := fmt.Sprintf("%07d ", i); !strings.HasPrefix(list[i+1], want) || len(list[i+1]) != width {
			t.Fatalf("line %d: %q", i, list[i+1])
		}
	}
}

func TestTailOverRotation(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "flood 10700 1000"))
	s.run(p, func(o *Options) { o.Keep, o.Output = true, nil })
	name := p.Metadata.Name
	dir := filepath.Join(s.data(name), "logs")
	for _, file := range []string{"a.log", "a.log.1"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() > maxLogSize {
			t.Errorf("%s: %v %v", file, info, err)
		}
	}
	lines := s.logsOf(name, LogOptions{Tail: 9000})
	if len(lines) != 9000 || !strings.HasPrefix(lines[0], "a: 0001700 ") || !strings.HasPrefix(lines[8999], "a: 0010699 ") {
		t.Errorf("%d lines, %.20q to %.20q", len(lines), lines[0], lines[len(lines)-1])
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
}

func TestFollowCanceled(t *testing.T) {
	s := newStage(t)
	sup, _ := s.start(s.pod(box("a", "hold")))
	ctx, cancel := context.WithCancel(t.Context())
	err := s.store.Logs(ctx, sup.Pod().Metadata.Name, LogOptions{Tail: -1, Follow: true}, func(Line) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	sup.Stop(0)
	s.finish(sup)
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := watch(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	begin := time.Now()
	if err := w.wait(20 * time.Millisecond); err != nil || time.Since(begin) < 20*time.Millisecond {
		t.Errorf("nothing changed: %v after %s", err, time.Since(begin))
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.wait(time.Minute); err != nil {
		t.Error(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	for err == nil {
		err = w.wait(time.Minute)
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := watch(t.Context(), filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A question is seen while its container waits for an answer.
func TestUnfinishedLine(t *testing.T) {
	s := newStage(t)
	sup, out := s.start(s.pod(box("a", "part Name:; sleep 60000")))
	out.await("a: Name:", 1)
	s.awaitLog(sup.Pod().Metadata.Name, "a: Name:") // it is written a moment later
	sup.Stop(0)
	s.finish(sup)
	if got := out.all(); !slices.Equal(got, []string{"a: Name:", "a: "}) {
		t.Errorf("%q", got)
	}
}
