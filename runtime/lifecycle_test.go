package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// starters are the two ways to make a container.
var starters = map[string]func(*Runtime, context.Context, string, *CreateOptions) (*Container, error){
	"Run": (*Runtime).Run, "Create": (*Runtime).Create,
}

// create makes a container that waits to be started.
func (s *stage) create(list ...[]string) *container {
	s.t.Helper()
	s.spec.Process.Args = ops(list...)
	return s.launch(s.options(s.id()), (*Runtime).Create)
}

func status(t testing.TB, c *Container, want specs.ContainerState) {
	t.Helper()
	if got := c.Status(); got != want {
		t.Fatalf("status %s, want %s", got, want)
	}
}

func TestLife(t *testing.T) {
	s := newStage(t)
	c := s.create(op("wait"))
	status(t, c.Container, specs.StateCreated)
	if err := c.Delete(testkit.Soon(t), false); !errors.Is(err, ErrNotStopped) {
		t.Errorf("Delete of a created one: %v", err)
	}
	// It is this process's child, but others find it too.
	found, err := s.r.Load(c.ID())
	if err != nil {
		t.Fatal(err)
	}
	status(t, found, specs.StateCreated)
	state := found.State()
	if state.Version != specs.Version || state.ID != c.ID() || state.Pid != c.Pid() || state.Pid == 0 || state.Bundle != filepath.Dir(s.image) {
		t.Errorf("state: %+v", state)
	}
	if found.Rootfs() != s.image || found.Owner() != "root" || time.Since(found.Created()) > time.Minute || found.Spec().Hostname != "box" {
		t.Errorf("%+v", found.record)
	}
	if exe, _ := os.Readlink("/proc/" + strconv.Itoa(c.Pid()) + "/exe"); strings.Contains(exe, "test") {
		t.Errorf("a waiting container's process is %s", exe)
	}
	if err := found.Start(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	status(t, c.Container, specs.StateRunning)
	if err := c.Start(testkit.Soon(t)); !errors.Is(err, ErrNotCreated) {
		t.Errorf("second Start: %v", err)
	}
	if got := c.line(); got != "ready" {
		t.Fatal(got)
	}
	list, err := s.r.List()
	if err != nil || len(list) != 1 || list[0].ID() != c.ID() {
		t.Errorf("List: %v, %v", list, err)
	}
	if _, err := s.r.Create(testkit.Soon(t), c.ID(), s.options(c.ID())); !errors.Is(err, ErrExist) {
		t.Errorf("Create of the same name: %v", err)
	}
	pids, err := c.Pids()
	if err != nil || !slices.Equal(pids, []int{c.Pid()}) {
		t.Errorf("Pids: %v, %v; the first is %d", pids, err, c.Pid())
	}
	if err := c.Delete(testkit.Soon(t), false); !errors.Is(err, ErrNotStopped) {
		t.Errorf("Delete of a running one: %v", err)
	}
	if err := found.Kill(unix.SIGUSR1, false); err != nil {
		t.Fatal(err)
	}
	if got := c.line(); got != "SIGUSR1" {
		t.Error(got)
	}
	if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.Code != 0 {
		t.Errorf("%v, %v", exit, err)
	}
	for _, c := range []*Container{c.Container, found} {
		status(t, c, specs.StateStopped)
		if c.Pid() != 0 || c.State().Pid != 0 {
			t.Error("a stopped container has a pid")
		}
		if err := c.Kill(unix.SIGTERM, false); !errors.Is(err, ErrNotRunning) {
			t.Errorf("Kill of a stopped one: %v", err)
		}
		if err := c.Start(testkit.Soon(t)); !errors.Is(err, ErrNotRunning) {
			t.Errorf("Start of a stopped one: %v", err)
		}
		if _, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: &specs.Process{Args: []string{"x"}, Cwd: "/"}}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("Exec in a stopped one: %v", err)
		}
	}
	// Waiting again gives the same; who is not the parent cannot know.
	if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.Code != 0 {
		t.Errorf("%v, %v", exit, err)
	}
	if _, err := found.Wait(testkit.Soon(t)); !errors.Is(err, errNotChild) {
		t.Error(err)
	}
	if err := found.Delete(testkit.Soon(t), false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.r.Load(c.ID()); !errors.Is(err, ErrNotExist) {
		t.Errorf("Load of a deleted one: %v", err)
	}
	if err := c.Delete(testkit.Soon(t), false); err != nil {
		t.Errorf("Delete of a deleted one: %v", err)
	}
	if list, err := s.r.List(); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
}

func TestDeleteForce(t *testing.T) {
	s := newStage(t)
	for name, how := range starters {
		s.spec.Process.Args = ops(op("wait"))
		c := s.launch(s.options(s.id()), how)
		pid := c.Pid()
		if err := c.Delete(testkit.Soon(t), true); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("%s: process %d is still there: %v", name, pid, err)
		}
		s.empty()
	}
}

// A container that is deleted elsewhere is still reaped by its creator.
func TestDeleteForceElsewhere(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	found, err := s.r.Load(c.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Delete(testkit.Soon(t), true); err != nil {
		t.Fatal(err)
	}
	if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.Signal != unix.SIGKILL {
		t.Errorf("%v, %v", exit, err)
	}
}

// The creator may die between Create and Start, and its death is seen at once
// by who starts it then.
func TestStartOfDead(t *testing.T) {
	s := newStage(t)
	c := s.create(op("wait"))
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	status(t, c.Container, specs.StateStopped)
	if err := c.Start(testkit.Soon(t)); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

// Of many that start it one succeeds.
func TestStartAtOnce(t *testing.T) {
	s := newStage(t)
	c := s.create(op("wait"))
	const n = 8
	results := make(chan error, n)
	for range n {
		found, err := s.r.Load(c.ID())
		if err != nil {
			t.Fatal(err)
		}
		go func() { results <- found.Start(context.Background()) }()
	}
	started := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			started++
		case !errors.Is(err, ErrNotCreated) && !errors.Is(err, os.ErrNotExist):
			t.Error(err)
		}
	}
	if started != 1 {
		t.Errorf("it was started %d times", started)
	}
}

func TestKillAll(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	p := c.exec(t, &specs.Process{Args: ops(op("wait")), Cwd: "/", Env: []string{"PATH=/bin"}})
	if err := c.Kill(unix.SIGTERM, true); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 0 && exit.Signal != unix.SIGTERM && exit.Signal != unix.SIGKILL {
		t.Errorf("%v, %v", exit, err)
	}
	if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 0 {
		t.Errorf("%v, %v", exit, err)
	}
}

func TestPidFile(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Args = ops(op("wait"))
	o := s.options(s.id())
	o.PidFile = filepath.Join(t.TempDir(), "pid")
	c := s.launch(o, (*Runtime).Run)
	if got := content(t, o.PidFile); got != strconv.Itoa(c.Pid()) {
		t.Errorf("the pid file has %q, the pid is %d", got, c.Pid())
	}
}

// All who wait learn the status, and the end of one's patience is not the
// others'.
func TestWaitTogether(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"), op("exit", "5"))
	c.line()
	short, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	type result struct {
		status ExitStatus
		err    error
	}
	const n = 5
	results := make(chan result, n)
	for range n {
		go func() {
			exit, err := c.Wait(context.Background())
			results <- result{exit, err}
		}()
	}
	if _, err := c.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("impatient: %v", err)
	}
	if err := c.Kill(unix.SIGUSR1, false); err != nil {
		t.Fatal(err)
	}
	for range n {
		if r := <-results; r.err != nil || r.status.Code != 5 {
			t.Errorf("%v, %v", r.status, r.err)
		}
	}
}

// Delete ends a container for which somebody waits, who learns of it.
func TestDeleteWhileWaiting(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	result := make(chan error, 1)
	go func() {
		exit, err := c.Wait(context.Background())
		if err == nil && exit.Signal != unix.SIGKILL {
			err = errors.New(exit.String())
		}
		result <- err
	}()
	time.Sleep(10 * time.Millisecond) // either order is right; this is the usual one
	if err := c.Delete(testkit.Soon(t), true); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	r := &Runtime{Root: t.TempDir()}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a b", "ä", strings.Repeat("x", 201)} {
		if _, err := r.Load(id); err == nil || errors.Is(err, ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := r.Load("none"); !errors.Is(err, ErrNotExist) || err.Error() != "find container none: container does not exist" {
		t.Error(err)
	}
	dir := filepath.Join(r.Root, "containers")
	write(t, dir+"/broken/state.json", `{"id": 5}`+"\n")
	write(t, dir+"/half/state.json", `{"id": "ha`) // its writer was killed: as if it were not there
	write(t, dir+"/b/state.json", `{"id": "b", "spec": {}}`+"\n")
	write(t, dir+"/a/state.json", `{"id": "a", "spec": {}}`+"\n")
	list, err := r.List()
	if err != nil || len(list) != 3 || list[0].ID() != "a" || list[1].ID() != "b" || list[2].ID() != "half" {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := r.Load("broken"); err == nil {
		t.Error("no error for a broken state")
	}
}
