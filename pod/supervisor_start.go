package pod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/peapod/peapod/namespaces"
)

// start makes everything, and takes it back when a part of it fails.
func (s *Supervisor) start(ctx context.Context, resolved []*Resolved) (err error) {
	if err = s.takePlace(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.stop()
			s.kill()
			s.wait()
			if s.from.restores() {
				err = errors.Join(err, replaceFile(s.place.statusFile(), s.from.before))
			}
			s.release(s.from.restores())
		}
	}()
	made := s.makeNamespaces()
	if s.ids != nil { // volumes in memory are mounted there
		if err = made(); err != nil {
			return err
		}
		made = func() error { return nil }
	}
	err = s.makeRest()
	if err = errors.Join(err, made()); err != nil {
		return err
	}
	if err = s.findServices(); err != nil {
		return err
	}
	if resolved, err = s.attach(ctx, resolved); err != nil {
		return err
	}
	s.ports.open(s.netns)
	if !s.onHost() { // the host has its own way to the services
		if err = s.hub.attach(s, s.netns); err != nil {
			return err
		}
	}

	s.status = PodStatus{Phase: PodPending, StartTime: time.Now().UTC(), Supervisor: SupervisorStatus{
		PID: os.Getpid(), Netns: int(s.netns.Fd()), Log: s.ownLogPath(), Logs: s.place.logs(),
	}}
	s.noteAddresses()
	for _, r := range resolved {
		s.addWorker(r)
	}
	// Others may see the pod a little later than its processes run.
	registered := make(chan error, 1)
	go func() { registered <- s.pod.save(s.place.specFile()) }()
	err = s.startAll(ctx)
	if err = errors.Join(err, <-registered); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Phase = PodRunning
	s.started = true
	if err = s.status.save(s.place.statusFile()); err == nil {
		s.hub.notice(s.place.name)
	}
	return err
}

// makeNamespaces begins to make the namespaces, for which the kernel takes most
// of a millisecond. What it returns waits for them.
func (s *Supervisor) makeNamespaces() (wait func() error) {
	made := make(chan error, 1)
	go func() {
		made <- s.openNamespaces()
	}()
	return func() error { return <-made }
}

func (s *Supervisor) openNamespaces() (err error) {
	if s.set, err = s.pod.namespaces(s.onHost(), s.ids); err != nil {
		return err
	}
	if s.netns = s.set.File(namespaces.Network); s.onHost() {
		s.netns, err = namespaces.Open(namespaces.Network, "/proc/self/ns/net")
	}
	return err
}

// makeRest makes what the containers need beside the namespaces.
func (s *Supervisor) makeRest() (err error) {
	if err := s.makeData(); err != nil {
		return err
	}
	if err := s.makeGroup(); err != nil {
		return err
	}
	if s.hub, err = s.store.joinHub(); err != nil {
		return err
	}
	if s.ports, err = s.forward(); err != nil {
		return err
	}
	if err := s.makePlace(); err != nil {
		return err
	}
	s.volumes, err = s.makeVolumes()
	return err
}

// makeData makes the directory of the pod's data, with the log that all else
// may want to write to. What an earlier pod of the name left there, after a
// crash, is removed first. Nobody but root gets below it: a container that is
// root may leave set-user-id programs in its overlay and its volumes, which any
// user of the host could execute there (CVE-2021-41091).
func (s *Supervisor) makeData() error {
	clear := s.store.clear
	if s.from != nil && s.from.keep {
		clear = s.store.clearRuntime
	}
	if err := clear(context.Background(), s.place); err != nil {
		return err
	}
	if err := s.store.clearNetwork(context.Background(), s.place); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(s.place.data), s.place.data} {
		if err := makePrivate(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.place.logs(), 0o755); err != nil {
		return err
	}
	return s.openOwnLog()
}

// makePlace makes what the containers get from the host.
func (s *Supervisor) makePlace() error {
	for _, r := range s.pod.Spec.Containers {
		if r.Image == BuiltinDemo && s.image == nil {
			var err error
			if s.image, err = s.store.builtinImage(s.options.Builtin); err != nil {
				return err
			}
		}
	}
	if err := s.makeHostsFiles(); err != nil {
		return err
	}
	return s.makeShm()
}

// startAll starts the containers side by side.
func (s *Supervisor) startAll(ctx context.Context) error {
	errs := make([]error, len(s.workers))
	var group sync.WaitGroup
	for i, w := range s.workers {
		group.Go(func() { errs[i] = w.start(ctx) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return s.pod.Errorf(containerPath(i), "%w", err)
		}
	}
	return nil
}
