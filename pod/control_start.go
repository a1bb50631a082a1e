package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Start starts pods again that have ended and are registered still, with their volumes
// and logs, and returns the names of all that were started. Where a supervisor of the
// pod's file runs, that does it. Otherwise all pods of the file that are left are
// started by a new one, from what the file was when they were run or applied last, with
// the options of then: command is a program that calls Supervise, with its arguments,
// and builtin as in Options. The error is ErrRunning where one has not ended.
//
// A pod that cannot be started stays as it was.
func (s *Store) Start(ctx context.Context, names []string, builtin string, w Waiting, command ...string) (started []string, err error) {
	var origins []*request
	for _, name := range names {
		p, err := s.stopped(name)
		if err != nil {
			return nil, err
		}
		switch inGroup, err := s.startInGroup(ctx, name, w); {
		case err != nil:
			return started, err
		case inGroup:
			started = append(started, name)
			continue
		}
		r, err := p.origin()
		switch {
		case err != nil:
			return nil, fmt.Errorf("pod %s: %w", name, err)
		case r == nil:
			return nil, fmt.Errorf("pod %s: it is not known what it was started from; apply its file (peapod pod apply FILE)", name)
		}
		if !slices.ContainsFunc(origins, r.like) {
			origins = append(origins, r)
		}
	}
	for _, r := range origins {
		r.Again, r.Builtin, r.Root, r.DataDir = true, builtin, s.root(), s.dataDir()
		list, _, err := detach(ctx, r, command)
		if err != nil {
			return started, err
		}
		started = append(started, list...)
	}
	return started, nil
}

// startInGroup has the pod's supervisor start it, where that lives and goes on.
func (s *Store) startInGroup(ctx context.Context, name string, w Waiting) (done bool, err error) {
	id, err := s.groupOfPod(name)
	if err != nil {
		return false, nil // it has gone, or there was none
	}
	err = s.Restart(ctx, []string{name}, w)
	ends := err != nil && err.Error() == errGroupEnds.Error() // told by another process
	if errors.Is(err, errNoGroup) || ends {
		return false, s.groupPlace(id).awaitEnd(ctx)
	}
	return err == nil, err
}

// stopped finds a pod that has ended.
func (s *Store) stopped(name string) (place, error) {
	if _, err := s.Get(name); err != nil {
		return place{}, err
	}
	p, err := s.place(name)
	if err != nil {
		return p, err
	}
	running, err := p.supervised()
	if err == nil && running {
		err = ErrRunning
	}
	if err != nil {
		return p, fmt.Errorf("pod %s: %w", name, err)
	}
	return p, nil
}

// takePlaces takes the places of pods that have ended, for those that are about to be
// started.
func (g *Group) takePlaces(list []*readied) (err error) {
	s := &g.options.Store
	defer func() {
		for _, r := range list {
			if err != nil && r.from != nil {
				r.from.lock.Close()
			}
		}
	}()
	for _, r := range list {
		p, err := s.place(r.pod.Metadata.Name)
		if err != nil {
			return err
		}
		before, err := os.ReadFile(p.statusFile())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if r.from, err = s.reclaim(p, r.options.group); err != nil {
			return err
		}
		if r.from != nil {
			r.from.keep, r.from.before = true, before
		}
	}
	return nil
}

// removeOthers removes pods of the group's Deployments that have ended and are none of
// those that a Deployment has: they had helped when others were replaced.
func (g *Group) removeOthers() {
	s := &g.options.Store
	for _, d := range g.manifest.Deployments {
		list, err := s.DeploymentPods(d.Metadata.Name)
		if err != nil {
			continue
		}
		for _, r := range list {
			name := r.Pod.Metadata.Name
			if g.member(name) != nil || !strings.HasPrefix(name, d.Metadata.Name+"-") {
				continue
			}
			if err := s.Remove(context.Background(), name, false); err != nil && !errors.Is(err, ErrRunning) {
				s.log().Warn("a pod that is none of its Deployment any more stays", "pod", name, "error", err)
			}
		}
	}
}
