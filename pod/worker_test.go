package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// with shares an emptyDir between all containers.
func shared(p *Pod) *Pod {
	p.Spec.Volumes = append(p.Spec.Volumes, Volume{Name: "shared", EmptyDir: &EmptyDir{}})
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		c.VolumeMounts = append(c.VolumeMounts, VolumeMount{Name: "shared", MountPath: "/shared"})
	}
	return p
}

func TestRestartNever(t *testing.T) {
	s := newStage(t)
	result, got := s.run(shared(s.pod(box("a", "flaky /shared/n 3"))))
	if result != (Result{"a", 4}) || !slices.Equal(got, []string{"a: start 1"}) {
		t.Errorf("%+v %q", result, got)
	}
}

// What succeeds in the end has not failed, as in Kubernetes.
func TestRestartOnFailure(t *testing.T) {
	s := newStage(t)
	quickly(t)
	p := shared(s.pod(box("a", "flaky /shared/n 4"), box("b", "echo once")))
	p.Spec.RestartPolicy = RestartOnFailure
	sup, out := s.start(p)
	result := s.finish(sup)
	if result != (Result{}) {
		t.Errorf("result %+v", result)
	}
	s.same(out.all(), []string{"a: start 1", "a: start 2", "a: start 3", "a: start 4", "a: fine", "b: once"})
	status := sup.Status()
	if status.Phase != PodSucceeded || status.ExitCode == nil || *status.ExitCode != 0 {
		t.Errorf("status %+v", status)
	}
	if c := status.ContainerStatuses[0]; c.RestartCount != 3 || c.LastState.Terminated == nil || c.LastState.Terminated.ExitCode != 4 {
		t.Errorf("container %+v", c)
	}
}

func TestRestartAlways(t *testing.T) {
	s := newStage(t)
	quickly(t)
	p := shared(s.pod(box("a", "count /shared/n"), box("b", "count /shared/m; exit 1")))
	p.Spec.RestartPolicy = RestartAlways
	sup, out := s.start(p)
	out.await("a: start 3", 1)
	out.await("b: start 3", 1)
	sup.Stop(time.Second)
	if result := s.finish(sup); result.Container == "a" {
		t.Errorf("result %+v: a has never failed", result)
	}
}

// The pause before a restart doubles; it does not delay the pod's end.
func TestBackOff(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "exit 6"))
	p.Spec.RestartPolicy = RestartAlways
	sup, _ := s.start(p)
	name := p.Metadata.Name
	testkit.Until(t, func() string {
		r, err := s.store.Get(name)
		if err != nil {
			return err.Error()
		}
		c := r.Status.ContainerStatuses[0]
		if w := c.State.Waiting; w == nil || w.Reason != "CrashLoopBackOff" || !strings.Contains(w.Message, "after 1s") || !strings.Contains(w.Message, "status 6") {
			return fmt.Sprintf("container %+v", c)
		}
		if c.RestartCount != 1 || c.LastState.Terminated == nil || c.LastState.Terminated.ExitCode != 6 || c.PID != 0 || c.Ready {
			return fmt.Sprintf("container %+v", c)
		}
		return ""
	})
	begin := time.Now()
	sup.Stop(time.Minute)
	if result := s.finish(sup); result != (Result{"a", 6}) {
		t.Errorf("result %+v: it had failed before it was stopped", result)
	}
	if took := time.Since(begin); took > 900*time.Millisecond {
		t.Errorf("it took %s to end a pod in which nothing runs", took)
	}
}

func TestPauses(t *testing.T) {
	s := &Supervisor{store: Store{}, place: place{state: t.TempDir()}}
	s.stopping, s.stop = t.Context(), func() {}
	s.status.ContainerStatuses = make([]ContainerStatus, 1)
	w := &worker{s: s}
	quickly(t)
	var got []time.Duration
	for range 5 {
		got = append(got, w.backOff)
		if !w.pause(&StateTerminated{}) {
			t.Fatal("it does not go on")
		}
	}
	ms := time.Millisecond
	if want := []time.Duration{0, 10 * ms, 20 * ms, 40 * ms, 80 * ms}; !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
	w.backOff = maxBackOff
	stopped, stop := contextThatEnds()
	s.stopping = stopped
	stop()
	if w.pause(&StateTerminated{}) {
		t.Error("it goes on in a pod that is to stop")
	}
	if w.backOff != maxBackOff {
		t.Errorf("the pause grows to %s", w.backOff)
	}
}

func TestStop(t *testing.T) {
	s := newStage(t)
	sup, out := s.start(s.pod(box("a", "hold; exit 9"), box("b", "hold")))
	out.await("a: ready", 1)
	out.await("b: ready", 1)
	sup.Stop(time.Minute)
	if result := s.finish(sup); result != (Result{}) {
		t.Errorf("result %+v: what is told to stop has not failed", result)
	}
	s.same(out.all(), []string{"a: ready", "a: terminated", "b: ready", "b: terminated"})
	if c := sup.Status().ContainerStatuses[0]; c.State.Terminated == nil || c.State.Terminated.ExitCode != 9 {
		t.Errorf("container %+v", c)
	}
}

func TestKillAfterGrace(t *testing.T) {
	s := newStage(t)
	sup, out := s.start(s.pod(box("a", "stubborn"), box("b", "hold")))
	out.await("a: ready", 1)
	out.await("b: ready", 1)
	begin := time.Now()
	sup.Stop(300 * time.Millisecond)
	s.finish(sup)
	if took := time.Since(begin); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %s with a grace period of 300 ms", took)
	}
	if c := sup.Status().ContainerStatuses[0]; c.State.Terminated == nil || c.State.Terminated.Signal != 9 || c.State.Terminated.ExitCode != 137 {
		t.Errorf("container %+v", c)
	}
}

// A second, more impatient Stop counts.
func TestStopTwice(t *testing.T) {
	s := newStage(t)
	sup, out := s.start(s.pod(box("a", "stubborn")))
	out.await("a: ready", 1)
	sup.Stop(time.Hour)
	sup.Stop(0)
	s.finish(sup)
	sup.Stop(time.Hour) // of no use, and of no harm
}

// A child that its parent left behind, with the output open, ends with the
// container.
func TestChildLeftBehind(t *testing.T) {
	s := newStage(t)
	result, got := s.run(s.pod(box("a", "child; sleep 100; echo end")))
	if result != (Result{}) || !slices.Contains(got, "a: end") {
		t.Errorf("%+v %q", result, got)
	}
}

// Writes go to an overlay that is fresh for each run; the image stays as it is.
func TestWritesAreFresh(t *testing.T) {
	s := newStage(t)
	quickly(t)
	before := tree(t, s.image)
	p := s.pod(box("a", "count /tmp/n; append /etc/new x; append /etc/passwd x; exit 1"), box("b", "sleep 200; stat /etc/new; ls /tmp"))
	p.Spec.RestartPolicy = RestartOnFailure
	sup, out := s.start(p)
	out.await("a: start 1", 3)
	out.await("b: ENOENT", 1)
	out.await("b: ", 1)
	entries, _ := os.ReadDir(filepath.Join(s.data(p.Metadata.Name), "containers", "a"))
	if len(entries) > 2 {
		t.Errorf("the writes of %d runs are kept", len(entries))
	}
	sup.Stop(0)
	s.finish(sup)
	if after := tree(t, s.image); !slices.Equal(before, after) {
		t.Errorf("the image changed from\n%q to\n%q", before, after)
	}
}

// tree lists the files in dir with their sizes.
func tree(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list = append(list, fmt.Sprintf("%s %s %d %s", path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
