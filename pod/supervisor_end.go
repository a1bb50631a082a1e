package pod

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// supervise waits for the pod's end and clears up.
func (s *Supervisor) supervise() {
	defer close(s.done)
	s.wait()
	s.mu.Lock()
	s.ending = true
	giving := s.giving
	s.mu.Unlock()
	if !giving { // otherwise it goes on, with the next supervisor
		s.update(s.finish)
	}
	s.turning.Lock()
	s.over = true
	s.turning.Unlock()
	s.mu.Lock()
	keep := s.options.Keep || giving
	s.mu.Unlock()
	s.release(keep)
}

// wait lets each worker, from its first start on, run its container to the
// end, if it has started.
func (s *Supervisor) wait() {
	var group sync.WaitGroup
	for _, w := range s.workers {
		group.Go(w.run)
	}
	group.Wait()
	if s.ports != nil {
		s.ports.close()
	}
}

// finish makes the status that of a pod which has ended. mu is held.
func (s *Supervisor) finish(status *PodStatus) {
	result := s.result()
	now := time.Now().UTC()
	status.FinishTime, status.ExitCode = &now, &result.ExitCode
	status.Phase = PodSucceeded
	if result.Container != "" {
		status.Phase = PodFailed
	}
}

// release gives back what the pod held. With keep its status, logs and volumes
// stay, until Store.Remove.
func (s *Supervisor) release(keep bool) {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.stop()
	s.kill()
	if s.hub != nil {
		s.hub.detach(s.place.name)
		s.hub.leave()
	}
	ctx := context.Background()
	if err := s.store.freeAddress(s.place, s.loopback); err != nil {
		s.log().Error("the pod's address cannot be given back", "error", err)
	}
	detached := s.detach(ctx)
	if s.set != nil {
		s.set.Close()
	}
	if s.onHost() && s.netns != nil {
		s.netns.Close()
	}
	err := s.dropGroup(ctx)
	if err != nil {
		s.log().Error("the pod's cgroup cannot be removed", "error", err)
	}
	if keep {
		err = s.store.clearRuntime(ctx, s.place)
	} else if err = s.store.clear(ctx, s.place); err == nil {
		err = os.RemoveAll(s.place.state)
	}
	if err = errors.Join(err, detached()); err != nil {
		s.log().Error("the pod cannot be cleared up", "error", err)
	}
	if s.image != nil {
		s.image.close()
		if err := s.store.sweepImages(); err != nil {
			s.log().Error("the image cannot be removed", "error", err)
		}
	}
	if s.ending && s.options.ended != nil {
		s.options.ended()
	}
	if s.giving {
		s.given = &handed{place: s.place, lock: s.lock}
	} else {
		s.lock.Close()
	}
	if s.ownLog != nil {
		s.ownLog.Close()
	}
}
