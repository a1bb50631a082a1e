package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Application is a file that is to run.
type Application struct {
	// File is its name, for errors and relative paths, and Data its content.
	File string
	Data []byte
	// Prune removes what was in the file before and is not any more.
	Prune bool
	Waiting
}

// Apply brings what runs in line with a changed file, and returns what became of
// each of its objects when all that has changed is ready: Deployments by new pods
// that replace the earlier ones as the strategy says, Pods by being stopped and
// started anew with fresh volumes, services in place. The error is ErrNotRunning
// where nothing of the file runs: then it is to be started (Detach).
//
// The supervisor of what runs does it. A file that is wrong changes nothing.
func (s *Store) Apply(ctx context.Context, a *Application) ([]Applied, error) {
	m, err := ParseManifest(a.File, a.Data)
	if err != nil {
		return nil, err
	}
	id, err := s.ownerOf(m)
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	r := a.request()
	r.Apply = &applyRequest{File: a.File, Dir: dir, Data: a.Data, Prune: a.Prune}
	return s.askGroup(ctx, id, r, a.Progress)
}

// ownerOf finds the group that runs what a manifest describes, or a part of it.
func (s *Store) ownerOf(m *Manifest) (id string, err error) {
	owners := map[string][]string{} // names by group
	note := func(id, what string) {
		if running, err := s.groupPlace(id).supervised(); id != "" && err == nil && running {
			owners[id] = append(owners[id], what)
		}
	}
	list, err := s.List()
	if err != nil {
		return "", err
	}
	for _, r := range list {
		p, err := s.place(r.Pod.Metadata.Name)
		if err != nil {
			return "", err
		}
		mark := p.groupMark()
		if mark.Deployment == "" && m.pod(p.name) != nil || mark.Deployment != "" && m.deployment(mark.Deployment) != nil {
			if mark.ID == "" && !r.Status.finished() {
				return "", fmt.Errorf("pod %s: its supervisor takes no requests", p.name)
			}
			note(mark.ID, "pod "+p.name)
		}
	}
	services, err := s.ListServices()
	for _, r := range services {
		if name := r.Service.Metadata.Name; m.service(name) != nil {
			note(r.Group, "service "+name)
		}
	}
	switch ids := slices.Sorted(maps.Keys(owners)); {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("%w: nothing of the file is", ErrNotRunning)
	case len(ids) > 1:
		return "", fmt.Errorf("the file has what two supervisors run: one has %s, another %s; apply what each of them was started from, or remove one",
			strings.Join(owners[ids[0]], ", "), strings.Join(owners[ids[1]], ", "))
	default:
		return ids[0], nil
	}
}

// MakeWay removes what pods of a manifest that have ended have left, so that it
// can be started again, after it has looked whether it can. Options are those that
// it is to be started with.
func (s *Store) MakeWay(ctx context.Context, m *Manifest, o *Options) error {
	if _, err := m.runnable(o); err != nil {
		return err
	}
	g := &Group{options: o.together()}
	if _, err := g.readyAll(m.members()); err != nil {
		return err
	}
	var names []string
	for _, p := range m.AllPods() {
		names = append(names, p.Metadata.Name)
	}
	for _, d := range m.Deployments {
		pods, err := s.DeploymentPods(d.Metadata.Name)
		if err != nil && !errors.Is(err, ErrNoDeployment) {
			return err
		}
		for _, r := range pods {
			names = append(names, r.Pod.Metadata.Name)
		}
	}
	for _, name := range names {
		if err := s.Remove(ctx, name, false); err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	return nil
}

// Scale gives a Deployment another number of replicas, and returns when all of them
// are ready.
func (s *Store) Scale(ctx context.Context, deployment string, replicas int, w Waiting) error {
	id, _, err := s.groupOf(deploymentPrefix + deployment)
	if err != nil {
		return err
	}
	r := w.request()
	r.Scale = map[string]int{deployment: replicas}
	_, err = s.askGroup(ctx, id, r, w.Progress)
	return err
}
