package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// handed is a pod's place between two supervisors of the same process: it stays
// registered and locked, so that nobody sees it end, and nobody takes its name.
type handed struct {
	place place
	lock  *os.File
	keep  bool // the logs and volumes too
	// before is the status of a pod that has ended, which it has again where it
	// cannot be started; nil where nothing is to be left of it then.
	before []byte
}

// restores tells whether a pod that cannot be started is what it was before.
func (h *handed) restores() bool { return h != nil && h.before != nil }

// errStopped tells that somebody has stopped a pod that was about to be started
// again.
var errStopped = errors.New("it was stopped meanwhile")

// takePlace registers the pod, or goes on with what was handed over.
func (s *Supervisor) takePlace() (err error) {
	if s.from == nil {
		s.place, s.lock, err = s.store.claim(s.pod.Metadata.Name, s.options.group)
		return err
	}
	s.place, s.lock = s.from.place, s.from.lock
	return removeIfThere(s.place.statusFile()) // the pod is pending again
}

func removeIfThere(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// yield stops the pod, waits for its end, and returns its place; nil where
// nothing was left to be handed over. Who has asked to stop it comes first: the
// error is then errStopped. grace is as Stop has it.
func (s *Supervisor) yield(grace time.Duration) (*handed, error) {
	s.mu.Lock()
	ended := s.ending
	s.giving = !ended
	s.mu.Unlock()
	if ended {
		<-s.done
		return s.store.reclaim(s.place, s.options.group)
	}
	s.Stop(grace)
	<-s.done
	if _, err := os.Stat(s.place.stopFile()); err == nil {
		s.giveUp()
		return nil, fmt.Errorf("pod %s: %w", s.place.name, errStopped)
	}
	return s.given, nil
}

// giveUp ends the pod after yield, where no supervisor goes on with it.
func (s *Supervisor) giveUp() {
	if s.given == nil {
		return
	}
	s.mu.Lock()
	keep := s.options.Keep
	if keep {
		s.finish(&s.status)
		s.status.setConditions()
		s.saveStatus()
	}
	s.mu.Unlock()
	if !keep {
		if err := errors.Join(s.store.clear(context.Background(), s.place), os.RemoveAll(s.place.state)); err != nil {
			s.log().Error("the pod cannot be cleared up", "error", err)
		}
	}
	s.given.lock.Close()
}

// reclaim takes the place of a pod that has ended and is registered still; nil
// where nothing is left of it.
func (s *Store) reclaim(p place, group groupMark) (*handed, error) {
	if _, err := os.Stat(p.state); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	lock, err := p.lock()
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", p.name, err)
	}
	if err = removeIfThere(p.stopFile()); err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		err = p.mark(group)
	}
	if err == nil {
		err = p.sign(lock)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("pod %s: %w", p.name, err)
	}
	return &handed{place: p, lock: lock}, nil
}
