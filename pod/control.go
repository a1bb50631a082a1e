package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stopRequest is what the file stop.json tells a supervisor that gets SIGTERM,
// or one of a group, whose process is told to look for the file: a signal would be
// for all of its pods.
type stopRequest struct {
	GracePeriodSeconds *float64 `json:"gracePeriodSeconds,omitempty"`
}

// Stop stops a running pod and waits for its end: SIGTERM to its containers,
// SIGKILL after grace, or after the spec's grace period when that is negative.
// The error is ErrNotRunning when it has ended before.
func (s *Store) Stop(ctx context.Context, name string, grace time.Duration) error {
	r, err := s.Get(name)
	if err != nil {
		return err
	}
	p, err := s.place(name)
	if err != nil {
		return err
	}
	running, err := p.supervised()
	if err != nil {
		return fmt.Errorf("pod %s: %w", name, err)
	}
	switch {
	case !running && r.Status.Reason == ReasonLost && r.Status.runs():
		return s.endLost(ctx, p)
	case !running:
		return fmt.Errorf("pod %s: %w (%s)", name, ErrNotRunning, r.Status.Phase)
	}
	if err := s.askToStop(p, grace); err != nil {
		return fmt.Errorf("pod %s: %w", name, err)
	}
	return p.awaitEnd(ctx)
}

// endLost ends what runs of a pod whose supervisor died.
func (s *Store) endLost(ctx context.Context, p place) error {
	lock, err := p.lock()
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.name, err)
	}
	defer lock.Close()
	if err := errors.Join(s.clearRuntime(ctx, p), s.clearNetwork(ctx, p)); err != nil {
		return fmt.Errorf("stop pod %s: %w", p.name, err)
	}
	return nil
}

// askToStop tells the supervisor.
func (s *Store) askToStop(p place, grace time.Duration) error {
	request := []byte("{}")
	if grace >= 0 {
		request = fmt.Appendf(nil, `{"gracePeriodSeconds": %g}`, grace.Seconds())
	}
	if err := replaceFile(p.stopFile(), request); err != nil {
		return err
	}
	if m := p.groupMark(); m.ID != "" {
		return s.wakeGroup(m.ID, p.name)
	}
	return p.signal(unix.SIGTERM)
}

// GracePeriod is how long the containers have to end: what Store.Stop asked for,
// or else the spec's period.
func (s *Supervisor) GracePeriod() time.Duration {
	var r stopRequest
	if err := readJSON(s.place.stopFile(), &r); err != nil {
		s.log().Warn("a request to stop cannot be read", "error", err)
	}
	if r.GracePeriodSeconds != nil {
		return max(0, time.Duration(*r.GracePeriodSeconds*float64(time.Second)))
	}
	return s.pod.GracePeriod()
}

// Wait waits for the end of a pod and returns its exit status, the first
// failing container's.
func (s *Store) Wait(ctx context.Context, name string) (int, error) {
	if _, err := s.Get(name); err != nil {
		return 0, err
	}
	p, err := s.place(name)
	if err != nil {
		return 0, err
	}
	if err := p.awaitEnd(ctx); err != nil {
		return 0, fmt.Errorf("wait for pod %s: %w", name, err)
	}
	r, err := s.Get(name)
	if errors.Is(err, ErrNotExist) {
		return 0, fmt.Errorf("pod %s was removed meanwhile: its exit status is not known: %w", name, ErrNotExist)
	}
	if err != nil {
		return 0, err
	}
	if r.Status.Reason == ReasonLost {
		return 1, fmt.Errorf("pod %s: %s", name, r.Status.Message)
	}
	if r.Status.ExitCode == nil {
		return 0, nil
	}
	return *r.Status.ExitCode, nil
}

// Remove removes a pod: its registration, logs and volumes. The error is
// ErrRunning while it runs, unless force is set: then it is ended first, at
// once. Whatever a killed supervisor left behind is removed too. With force a
// pod that does not exist is no error.
func (s *Store) Remove(ctx context.Context, name string, force bool) error {
	r, err := s.Get(name)
	if err != nil && !force {
		return err
	}
	p, err := s.place(name)
	if err != nil {
		return err
	}
	running, err := p.supervised()
	if err != nil {
		return fmt.Errorf("pod %s: %w", name, err)
	}
	if running {
		if !force {
			return fmt.Errorf("pod %s: %w: stop it first (peapod pod stop %s), or force the removal", name, ErrRunning, name)
		}
		if err := s.end(ctx, p); err != nil {
			return fmt.Errorf("pod %s: %w", name, err)
		}
	}
	// Whoever has the lock may clear up.
	var lock *os.File
	if _, err = os.Stat(p.state); err == nil {
		if lock, err = p.lock(); err != nil {
			return fmt.Errorf("pod %s: %w", name, err)
		}
		defer lock.Close()
	}
	if err := errors.Join(s.clear(ctx, p), s.clearNetwork(ctx, p)); err != nil {
		return fmt.Errorf("remove pod %s: %w", name, err)
	}
	if err := s.freeAddresses(p, r); err != nil {
		return fmt.Errorf("remove pod %s: %w", name, err)
	}
	if err := os.RemoveAll(p.state); err != nil {
		return fmt.Errorf("remove pod %s: %w", name, err)
	}
	if err := errors.Join(s.sweepImages(), s.clearServices()); err != nil {
		return fmt.Errorf("remove pod %s: %w", name, err)
	}
	return nil
}

// end ends the supervisor: by request, and when that does not help within a
// while by SIGKILL, with which its containers end too.
func (s *Store) end(ctx context.Context, p place) error {
	if err := s.askToStop(p, 0); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := p.awaitEnd(patient)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	if s.hasCompany(p) {
		return fmt.Errorf("%w: its supervisor does not answer, and is not killed since it has other pods too (peapod pod ps -o wide tells its process)", ErrRunning)
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		return err
	}
	return p.awaitEnd(ctx)
}
