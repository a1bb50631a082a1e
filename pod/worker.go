package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/runtime"
)

// Containers that end are started again after a while that doubles each time,
// unless they ran for long in between.
const (
	maxBackOff = 5 * time.Minute
	longRun    = 10 * time.Minute
)

var firstBackOff = time.Second // shorter in tests

// worker runs one container of a pod, again and again where the spec says so.
type worker struct {
	s        *Supervisor
	index    int
	resolved *Resolved
	log      *logFile
	starts   int
	backOff  time.Duration
	running  *instance // nil while none runs
}

// instance is one run of a container.
type instance struct {
	container *runtime.Container
	started   time.Time
	streams   sync.WaitGroup // of its output
	readers   []*os.File
	probes    *probing // or nil

	unwell  chan struct{} // closed when a probe has given the container up
	givenUp sync.Once
	why     string        // it was given up, once unwell is closed
	grace   time.Duration // that it has then
}

// giveUp has the container ended, because of a probe.
func (in *instance) giveUp(why string, grace time.Duration) {
	in.givenUp.Do(func() {
		in.why, in.grace = why, grace
		close(in.unwell)
	})
}

// verdict is why the container was given up; "" where it was not.
func (in *instance) verdict() string {
	select {
	case <-in.unwell:
		return in.why
	default:
		return ""
	}
}

func (s *Supervisor) addWorker(r *Resolved) {
	w := &worker{s: s, index: len(s.workers), resolved: r}
	s.workers = append(s.workers, w)
	s.status.ContainerStatuses = append(s.status.ContainerStatuses, ContainerStatus{
		Name: r.Container.Name, ContainerID: s.place.containerID(r.Container.Name), Image: r.Container.Image, ImageID: w.imageRoot(),
		State: ContainerState{Waiting: &StateWaiting{Reason: "ContainerCreating"}},
	})
}

func (w *worker) name() string { return w.resolved.Container.Name }

// start starts the container once.
func (w *worker) start(ctx context.Context) (err error) {
	if w.log == nil {
		if w.log, err = openLog(w.s.place.containerLog(w.name()), w.s.output()); err != nil {
			return err
		}
	}
	in := &instance{unwell: make(chan struct{})}
	stdout, err := w.stream(in, "stdout")
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := w.stream(in, "stderr")
	if err != nil {
		return err
	}
	defer stderr.Close()
	o, done, err := w.createOptions()
	if err != nil {
		return err
	}
	defer done()
	o.Stdout, o.Stderr = stdout, stderr
	in.started = time.Now().UTC()
	in.container, err = w.s.store.runtime().Run(ctx, w.s.place.containerID(w.name()), o)
	if err != nil {
		return plain(err)
	}
	w.starts++
	w.running = in
	w.status(func(c *ContainerStatus) {
		c.PID, c.RestartCount = in.container.Pid(), w.starts-1
		c.State = ContainerState{Running: &StateRunning{StartedAt: in.started}}
		c.begin(w.resolved.Container)
	})
	in.probes = w.startProbes(in)
	return nil
}

// plain leaves out which container of package runtime it is, which the field
// that the error is given tells better.
func plain(err error) error {
	var e *runtime.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// stream makes a pipe for one of the container's streams, whose content goes to
// the log.
func (w *worker) stream(in *instance, name string) (*os.File, error) {
	r, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the container's %s: %w", name, err)
	}
	in.readers = append(in.readers, r)
	in.streams.Go(func() {
		defer r.Close()
		w.log.pump(w.name(), name, r)
	})
	return out, nil
}

// run follows the container that runs until it is not to run any more.
func (w *worker) run() {
	defer func() {
		if w.log == nil {
			return
		}
		if err := w.log.close(); err != nil {
			w.s.log().Error("the container's log has gaps", "container", w.name(), "error", err)
		}
	}()
	for w.running != nil {
		terminated := w.await()
		failed := terminated.ExitCode != 0 && w.s.stopping.Err() == nil
		w.running = nil
		w.status(func(c *ContainerStatus) {
			c.PID, c.Ready, c.Started, c.unready = 0, false, false, ""
			c.State = ContainerState{Terminated: terminated}
		})
		w.restart(terminated)
		if failed && w.running == nil {
			w.s.fail(w.name(), terminated.ExitCode)
		}
	}
}

// await waits for the end of the container, which it stops when the pod is to
// stop, and removes it.
func (w *worker) await() *StateTerminated {
	in := w.running
	ended := make(chan struct{})
	go w.end(in, ended)
	status, err := in.container.Wait(context.Background())
	close(ended)
	in.probes.end()
	if err != nil {
		w.s.log().Error("the container's end is not known", "container", w.name(), "error", err)
		status.Code = 255
	}
	outOfMemory := w.lackedMemory(in, status.ExitCode()) // which the cgroup knows until
	if err := in.container.Delete(context.Background(), true); err != nil {
		w.s.log().Error("the container cannot be removed", "container", w.name(), "error", err)
	}
	w.drain(in)
	t := &StateTerminated{
		ExitCode: status.ExitCode(), Signal: int(status.Signal), Reason: "Completed",
		StartedAt: in.started, FinishedAt: time.Now().UTC(),
	}
	if t.ExitCode != 0 {
		t.Reason = "Error"
	}
	if t.Message = in.verdict(); t.Message != "" {
		t.Reason = ReasonUnhealthy
	} else if outOfMemory {
		t.Reason, t.Message = ReasonOOMKilled, w.memoryLimit()
	}
	w.s.log().Info("container ended", "container", w.name(), "status", status.String(), "why", t.Message)
	return t
}

// drain waits for the end of the container's output. Where a process of another
// container has got hold of it, what is there is read; where whoever reads the
// lines has stopped to do so, the pod ends without him.
func (w *worker) drain(in *instance) {
	done := make(chan struct{})
	go func() {
		in.streams.Wait()
		close(done)
	}()
	for killing := w.s.killing.Done(); ; {
		select {
		case <-done:
			return
		case <-killing:
			killing = nil
		case <-time.After(drainWait):
			if killing == nil {
				return
			}
			for _, r := range in.readers {
				if empty(r) {
					r.Close()
				}
			}
		}
	}
}

const drainWait = time.Second

// empty tells whether there is nothing to read in a pipe.
func empty(r *os.File) bool {
	c, err := r.SyscallConn()
	if err != nil {
		return true
	}
	n := 0
	c.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err != nil || n == 0
}

// end stops the container when the pod is to stop, or a probe has given it up.
func (w *worker) end(in *instance, ended <-chan struct{}) {
	var late <-chan time.Time
	select {
	case <-ended:
		return
	case <-w.s.stopping.Done():
	case <-in.unwell:
		timer := time.NewTimer(in.grace)
		defer timer.Stop()
		late = timer.C
	}
	w.kill(in, unix.SIGTERM)
	select {
	case <-ended:
		return
	case <-late:
	case <-w.s.killing.Done():
	}
	w.kill(in, unix.SIGKILL)
}

func (w *worker) kill(in *instance, sig unix.Signal) {
	if err := in.container.Kill(sig, false); err != nil && !errors.Is(err, runtime.ErrNotRunning) {
		w.s.log().Error("the container cannot be stopped", "container", w.name(), "error", err)
	}
}

// restart starts the container again if the pod's policy says so.
func (w *worker) restart(last *StateTerminated) {
	switch policy := w.s.pod.Spec.RestartPolicy; {
	case w.s.stopping.Err() != nil, policy == RestartNever,
		policy == RestartOnFailure && last.ExitCode == 0 && last.Reason != ReasonUnhealthy:
		w.event(last, false)
		return
	}
	if last.FinishedAt.Sub(last.StartedAt) >= longRun {
		w.backOff = 0
	}
	for {
		if !w.pause(last) {
			return
		}
		w.status(func(c *ContainerStatus) { c.LastState = ContainerState{Terminated: last} })
		err := w.start(w.s.stopping)
		if err == nil {
			return
		}
		if w.s.stopping.Err() != nil {
			return
		}
		w.s.log().Error("the container cannot be started", "container", w.name(), "error", err)
		last = &StateTerminated{ExitCode: ExitCode(err), Reason: "ContainerCannotRun", Message: err.Error(), FinishedAt: time.Now().UTC()}
		w.starts++
	}
}

// pause waits before the next start, the first time not. It tells whether the
// pod is to go on.
func (w *worker) pause(last *StateTerminated) bool {
	w.event(last, true)
	if w.backOff > 0 {
		w.status(func(c *ContainerStatus) {
			c.LastState = ContainerState{Terminated: last}
			c.State = ContainerState{Waiting: &StateWaiting{
				Reason:  "CrashLoopBackOff",
				Message: fmt.Sprintf("starts again after %s; it ended with status %d", w.backOff, last.ExitCode),
				Until:   time.Now().UTC().Add(w.backOff),
			}}
		})
	}
	timer := time.NewTimer(w.backOff)
	defer timer.Stop()
	w.backOff = min(max(2*w.backOff, firstBackOff), maxBackOff)
	select {
	case <-timer.C:
		return true
	case <-w.s.stopping.Done():
		return false
	}
}

func (w *worker) status(change func(*ContainerStatus)) {
	w.s.update(func(s *PodStatus) { change(&s.ContainerStatuses[w.index]) })
}

// started notes that the startup probe has succeeded.
func (w *worker) started() {
	w.status(func(c *ContainerStatus) {
		c.Started = true
		c.Ready, c.unready = readyAtOnce(w.resolved.Container)
	})
}

// ready notes what the readiness probe has found.
func (w *worker) ready(o outcome) {
	w.status(func(c *ContainerStatus) {
		if c.Ready, c.unready = o.ok, ""; !o.ok {
			c.unready = foundUnready + o.why
		}
	})
}

// writable makes the directories that take the container's writes, anew for
// each run, as Kubernetes does it.
func (w *worker) writable() (upper, work string, err error) {
	dir := filepath.Join(w.s.place.data, "containers", w.name())
	if w.starts > 0 {
		if err := removeAll(context.Background(), filepath.Join(dir, strconv.Itoa(w.starts-1))); err != nil {
			return "", "", err
		}
	}
	dir = filepath.Join(dir, strconv.Itoa(w.starts))
	upper, work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", "", err
		}
	}
	return upper, work, alike(upper, w.imageRoot())
}

// alike gives dir the owner and permissions of the image's root, which the
// container will see it as, whatever the umask is.
func alike(dir, root string) error {
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return &os.PathError{Op: "stat", Path: root, Err: err}
	}
	if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil && !rootless() {
		return err
	}
	if err := unix.Chmod(dir, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: dir, Err: err}
	}
	return nil
}

// ExitCode is the exit status for an error of this package: 127 where a
// container's command was not found, 126 where it could not be executed, 1
// otherwise.
func ExitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}
