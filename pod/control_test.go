package pod

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/proc"
	"github.com/peapod/peapod/internal/testkit"
)

// detach runs a pod under a supervisor of its own.
func (s *stage) detach(p *Pod, change ...func(*Detached)) (string, error) {
	s.t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		s.t.Fatal(err)
	}
	d := &Detached{File: s.path("p.json"), Data: data, Options: Options{Store: s.store}}
	for _, f := range change {
		f(d)
	}
	names, _, err := Detach(testkit.Soon(s.t), d, "/proc/self/exe", superviseArg)
	if err != nil {
		return "", err
	}
	s.t.Cleanup(func() { s.store.Remove(context.Background(), names[0], true) })
	return names[0], nil
}

func (s *stage) get(name string) PodStatus {
	s.t.Helper()
	r, err := s.store.Get(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Status
}

// logged is what a pod has written so far.
func (s *stage) logged(name string) (lines []string) {
	s.t.Helper()
	err := s.store.Logs(testkit.Soon(s.t), name, LogOptions{Tail: -1}, func(l Line) { lines = append(lines, l.Container+": "+string(l.Text)) })
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

// awaitLog waits for a line.
func (s *stage) awaitLog(name, want string) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		for _, line := range s.logged(name) {
			if line == want {
				return ""
			}
		}
		return "no line " + want
	})
}

func TestDetach(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	p := s.pod(forwards(box("a", "env X; args; serve 127.0.0.1:80; hold; exit 3"), port, 80))
	p.Spec.TerminationGracePeriodSeconds = new(int64(20))
	name, err := s.detach(p, func(d *Detached) {
		d.Options.Env = []string{"X=y"}
		d.Options.Args = map[string][]string{"a": {";", "echo", "end"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if name != p.Metadata.Name {
		t.Errorf("name %q", name)
	}
	status := s.get(name)
	if status.Phase != PodRunning || status.Supervisor.PID == os.Getpid() || status.Supervisor.Log == "" {
		t.Errorf("status %+v", status)
	}
	if got := ask(t, local(port), "x"); got != "xbye" {
		t.Errorf("got %q", got)
	}
	s.awaitLog(name, "a: ready")
	s.exec(name, "", "exit 9", 9)

	ended := make(chan int, 1)
	go func() {
		code, err := s.store.Wait(context.Background(), name)
		if err != nil {
			t.Error(err)
		}
		ended <- code
	}()
	if err := s.store.Stop(testkit.Soon(t), name, -1); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d of a pod that was stopped", code)
	}
	s.awaitLog(name, "a: terminated")
	if status := s.get(name); status.Phase != PodSucceeded || status.ContainerStatuses[0].State.Terminated.ExitCode != 3 {
		t.Errorf("status %+v", status)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
	s.nothingLeft()
}

func TestDetachErrors(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "hold"))
	p.Spec.Containers[0].Command = []string{"nothing"}
	_, err := s.detach(p)
	if err == nil || !strings.Contains(err.Error(), `"nothing"`) || !strings.Contains(err.Error(), s.path("p.json")+":1:") || ExitCode(err) != 127 {
		t.Errorf("%v (%d)", err, ExitCode(err))
	}
	if _, err := s.detach(p, func(d *Detached) { d.Data = []byte("{") }); err == nil || !strings.Contains(err.Error(), "p.json:1") {
		t.Errorf("%v", err)
	}
	if _, _, err := Detach(testkit.Soon(t), &Detached{Options: Options{Store: s.store}}, s.path("gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, _, err := Detach(testkit.Soon(t), &Detached{Options: Options{Store: s.store}}, "/proc/self/exe", "-test.list=^$"); err == nil || !strings.Contains(err.Error(), "ended before the pod ran") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Detach(ctx, &Detached{Data: []byte("{}"), Options: Options{Store: s.store}}, "/proc/self/exe", superviseArg); err == nil {
		t.Error("no error although the context has ended")
	}
	s.nothingLeft()
}

// Stop takes a grace period; a stubborn container ends after it.
func TestStopDetached(t *testing.T) {
	s := newStage(t)
	name, err := s.detach(s.pod(box("a", "stubborn"), box("b", "hold")))
	if err != nil {
		t.Fatal(err)
	}
	s.awaitLog(name, "a: ready")
	s.awaitLog(name, "b: ready")
	impatient, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.store.Stop(impatient, name, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
	s.awaitLog(name, "b: terminated")
	if status := s.get(name); status.Phase != PodRunning || status.ContainerStatuses[0].State.Running == nil {
		t.Errorf("status %+v", status)
	}
	begin := time.Now()
	if err := s.store.Stop(testkit.Soon(t), name, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestRemoveForced(t *testing.T) {
	s := newStage(t)
	name, err := s.detach(s.pod(box("a", "stubborn; child")))
	if err != nil {
		t.Fatal(err)
	}
	s.awaitLog(name, "a: ready")
	if err := s.store.Remove(t.Context(), name, false); !errors.Is(err, ErrRunning) {
		t.Errorf("%v, want ErrRunning", err)
	}
	if err := s.store.Remove(testkit.Soon(t), name, true); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft()
	if err := s.store.Remove(testkit.Soon(t), name, true); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// A supervisor that hangs is killed.
func TestRemoveHanging(t *testing.T) {
	s := newStage(t)
	name, err := s.detach(s.pod(box("a", "hold")))
	if err != nil {
		t.Fatal(err)
	}
	status := s.get(name)
	if err := unix.Kill(status.Supervisor.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Remove(testkit.Soon(t), name, true); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft()
}

// When the supervisor dies its containers end at once, and what it left is seen
// and removed.
func TestSupervisorDies(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "child; stubborn"), box("b", "stubborn"))
	p.Spec.Volumes = []Volume{{Name: "m", EmptyDir: &EmptyDir{Medium: MediumMemory}}}
	p.Spec.Containers[0].VolumeMounts = []VolumeMount{{Name: "m", MountPath: "/m"}}
	name, err := s.detach(p)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitLog(name, "a: ready")
	s.awaitLog(name, "b: ready")
	status := s.get(name)
	ids := map[string]proc.ID{}
	for _, c := range status.ContainerStatuses {
		if ids[c.Name], err = proc.Find(c.PID); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Kill(status.Supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for container, id := range ids {
		testkit.Until(t, func() string {
			if id.Alive() {
				return "container " + container + " goes on: process " + id.String()
			}
			return ""
		})
	}
	testkit.Until(t, func() string {
		if got := s.get(name); got.Phase != PodFailed || got.Reason != ReasonLost {
			return string(got.Phase) + " " + got.Reason
		}
		return ""
	})
	if code, err := s.store.Wait(t.Context(), name); code == 0 || err == nil {
		t.Errorf("Wait: %d, %v", code, err)
	}
	if err := s.store.Stop(t.Context(), name, 0); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Stop: %v", err)
	}
	if _, err := Start(t.Context(), p, &Options{Store: s.store}); !errors.Is(err, ErrExist) {
		t.Errorf("Start: %v", err)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
	s.nothingLeft()
}

// The lock's file names a process; when that is another one by now, or the lock
// is held by somebody who only clears up, nobody gets a signal.
func TestLockOfAnother(t *testing.T) {
	store := Store{Root: t.TempDir()}
	p, lock, err := store.claim("p", groupMark{})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if running, err := p.supervised(); !running || err != nil {
		t.Errorf("the lock is not seen: %v", err)
	}
	if _, err := p.lock(); !errors.Is(err, ErrRunning) {
		t.Errorf("%v, want ErrRunning", err)
	}
	if r, err := store.Get("p"); err != nil || r.Status.Phase != PodPending {
		t.Errorf("%+v, %v: want a pod that is being started", r, err)
	}
	for _, text := range []string{"1 99999999\n", "999999999 1\n"} {
		if err := os.WriteFile(p.lockFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if fd, err := p.supervisor(); fd != -1 || err != nil {
			t.Errorf("%q: %d, %v", text, fd, err)
		}
		if err := p.signal(unix.SIGKILL); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.WriteFile(p.lockFile(), []byte("what"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.supervisor(); !errors.Is(err, ErrRunning) {
		t.Errorf("%v, want ErrRunning", err)
	}
	lock.Close()
	if running, err := p.supervised(); running || err != nil {
		t.Errorf("the lock is still seen: %v", err)
	}
	if fd, err := p.supervisor(); fd != -1 || err != nil {
		t.Errorf("%d, %v", fd, err)
	}
}
