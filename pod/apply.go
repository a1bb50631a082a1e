package pod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Action is what became of an object of a file that was applied.
type Action string

// The actions.
const (
	Created   Action = "created"
	Changed   Action = "changed"
	Unchanged Action = "unchanged"
	Restarted Action = "started again" // it had been stopped
	Removed   Action = "removed"
	// Left is an object that the file does not have any more, and that goes on.
	Left Action = "not in the file"
)

// Applied says what became of an object.
type Applied struct {
	Kind   string `json:"kind"` // pod, deployment or service
	Name   string `json:"name"`
	Action Action `json:"action"`
}

// applyRequest is a file that a group is to run from now on.
type applyRequest struct {
	File  string `json:"file"`
	Dir   string `json:"dir"` // that File is relative to
	Data  []byte `json:"data"`
	Prune bool   `json:"prune,omitempty"` // remove what the file does not have
}

// application is a file that is being applied.
type application struct {
	*task
	next     *Manifest // what is to run then
	services *serviceChange
	steps    []func() error
	removals []func() error
	done     []Applied
}

// apply brings what runs in line with a file. What is wrong with that is found
// before anything changes.
func (t *task) apply(r *applyRequest) ([]Applied, error) {
	m, err := ParseManifest(r.File, r.Data)
	if err != nil {
		return nil, err
	}
	m = m.rooted(r.Dir)
	a := &application{task: t, services: &serviceChange{}}
	if err := a.plan(m, r.Prune); err != nil {
		return nil, err
	}
	if err := t.g.changeServices(a.services); err != nil {
		return nil, err
	}
	t.g.mu.Lock()
	t.g.manifest = a.next
	t.g.mu.Unlock()
	t.g.change(m, r)
	err = sideBySide(len(a.steps), a.steps)
	if err == nil { // while something is amiss nothing is taken away
		err = sideBySide(len(a.removals), a.removals)
	}
	if err == nil {
		err = t.g.changeServices(&serviceChange{removed: a.services.late})
	}
	return a.done, err
}

// plan compares what is to run with what runs.
func (a *application) plan(m *Manifest, prune bool) error {
	a.g.mu.Lock()
	old := a.g.manifest
	a.g.mu.Unlock()
	a.next = m.with(old, prune)
	if err := a.next.together(); err != nil {
		return err
	}
	var errs []error
	for _, s := range m.Services {
		errs = append(errs, s.supported(), a.planService(s, m, old))
	}
	pods := 0
	for _, p := range a.next.AllPods() {
		pods++
		errs = append(errs, a.g.checkOwner(p))
	}
	if pods == 0 {
		return errors.New("nothing would be left to run: a supervisor ends with its last pod; stop the pods instead (peapod pod stop)")
	}
	for _, p := range m.Pods {
		errs = append(errs, a.planPod(p))
	}
	for _, d := range m.Deployments {
		errs = append(errs, a.planDeployment(d, old))
	}
	a.planRest(m, old, prune)
	return errors.Join(errs...)
}

// rooted is the manifest with absolute directories: its process may change its own.
func (m *Manifest) rooted(dir string) *Manifest {
	own := *m
	own.Pods, own.Deployments = nil, nil
	root := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	for _, p := range m.Pods {
		q := *p
		q.Dir = root(p.Dir)
		own.Pods = append(own.Pods, &q)
	}
	for _, d := range m.Deployments {
		q := *d
		q.Dir = root(d.Dir)
		own.Deployments = append(own.Deployments, &q)
	}
	return &own
}

// with is the manifest, and what of an earlier one is to stay.
func (m *Manifest) with(old *Manifest, prune bool) *Manifest {
	next := *m
	if prune {
		return &next
	}
	for _, p := range old.Pods {
		if m.pod(p.Metadata.Name) == nil {
			next.Pods = append(next.Pods[:len(next.Pods):len(next.Pods)], p)
		}
	}
	for _, d := range old.Deployments {
		if m.deployment(d.Metadata.Name) == nil {
			next.Deployments = append(next.Deployments[:len(next.Deployments):len(next.Deployments)], d)
		}
	}
	for _, s := range old.Services {
		if m.service(s.Metadata.Name) == nil {
			next.Services = append(next.Services[:len(next.Services):len(next.Services)], s)
			if e := endpointsOf(s, old.allEndpoints()); e != nil && endpointsOf(s, m.allEndpoints()) == nil {
				next.Endpoints = append(next.Endpoints[:len(next.Endpoints):len(next.Endpoints)], e)
			}
		}
	}
	return &next
}

func (m *Manifest) pod(name string) *Pod {
	for _, p := range m.Pods {
		if p.Metadata.Name == name {
			return p
		}
	}
	return nil
}

func (m *Manifest) deployment(name string) *Deployment {
	for _, d := range m.Deployments {
		if d.Metadata.Name == name {
			return d
		}
	}
	return nil
}

func (a *application) note(kind, name string, action Action) {
	a.done = append(a.done, Applied{kind, name, action})
}

// checkOwner refuses a name that a pod has which is not of the group.
func (g *Group) checkOwner(p *Pod) error {
	if name := p.Metadata.Name; g.member(name) == nil && !g.options.Store.free(name) {
		return p.Errorf("metadata.name", "%w: %s, of another file: remove what is there (peapod pod rm %s), or choose another name", ErrExist, name, name)
	}
	return nil
}

// planPod compares a pod with the one that runs.
func (a *application) planPod(p *Pod) error {
	name := p.Metadata.Name
	m := a.g.member(name)
	if m != nil && m.deployment != "" {
		return p.Errorf("metadata.name", "%s is a pod of Deployment %s; remove that first, or choose another name", name, m.deployment)
	}
	action := Unchanged
	switch {
	case m == nil:
		action = Created
	case !m.pod.same(p):
		action = Changed
	case m.wasStopped():
		action = Restarted
	}
	a.note("pod", name, action)
	if action == Unchanged {
		return nil
	}
	r, err := a.g.ready(p, "")
	a.steps = append(a.steps, func() error {
		if m == nil {
			m = &member{name: name, pod: p}
			if err := a.add(m); err != nil {
				return err
			}
		} else if err := a.replace(m, r, p, false); err != nil {
			return err
		}
		return a.awaitReady(m, 0, defaultProgressDeadline)
	})
	return err
}

// wasStopped tells whether somebody has ended the pod, or removed it, rather than
// that it has done its work.
func (m *member) wasStopped() bool {
	if !m.ended() {
		return false
	}
	_, err := os.Stat(m.supervisor.place.state)
	return err != nil || m.supervisor.Status().DeletionTimestamp != nil
}

// planDeployment compares a Deployment's pods with those that run.
func (a *application) planDeployment(d *Deployment, old *Manifest) error {
	action := Changed
	switch r := a.task.plan(d, false); {
	case old.deployment(d.Metadata.Name) == nil:
		action = Created
	case len(r.stale)+len(r.fresh)+len(r.extra) == 0:
		action = Unchanged
	}
	a.note("deployment", d.Metadata.Name, action)
	if action == Unchanged || d.Replicas() == 0 {
		if action != Unchanged {
			a.steps = append(a.steps, func() error { return a.roll(d, false) })
		}
		return nil
	}
	a.steps = append(a.steps, func() error { return a.roll(d, false) })
	_, err := a.g.ready(d.pod(0), d.Metadata.Name)
	return err
}

// planService compares a service with the one that is registered.
func (a *application) planService(s *Service, m, old *Manifest) error {
	before, e := old.service(s.Metadata.Name), endpointsOf(s, m.allEndpoints())
	action := Unchanged
	switch {
	case before == nil:
		action = Created
		a.services.added = append(a.services.added, s)
	case !sameJSON(before, s) || !sameJSON(endpointsOf(before, old.allEndpoints()), e):
		action = Changed
		a.services.changed = append(a.services.changed, s)
	}
	a.services.endpoints = m.allEndpoints()
	a.note("service", s.Metadata.Name, action)
	return nil
}

// planRest is for what the file does not have any more.
func (a *application) planRest(m, old *Manifest, prune bool) {
	action := Left
	if prune {
		action = Removed
	}
	for _, p := range old.Pods {
		if m.pod(p.Metadata.Name) == nil {
			a.note("pod", p.Metadata.Name, action)
			a.removeMember(prune, a.g.member(p.Metadata.Name))
		}
	}
	for _, d := range old.Deployments {
		if m.deployment(d.Metadata.Name) == nil {
			a.note("deployment", d.Metadata.Name, action)
			for _, x := range a.g.members() {
				a.removeMember(prune && x.deployment == d.Metadata.Name, a.g.member(x.name))
			}
		}
	}
	for _, s := range old.Services {
		if m.service(s.Metadata.Name) == nil {
			a.note("service", s.Metadata.Name, action)
			if prune {
				a.services.late = append(a.services.late, s.Metadata.Name)
			}
		}
	}
}

func (a *application) removeMember(really bool, m *member) {
	if really && m != nil {
		a.removals = append(a.removals, func() error { return a.remove(m) })
	}
}

// scale changes how many pods a Deployment has.
func (t *task) scale(name string, replicas int) error {
	d := t.g.deployment(name)
	if d == nil {
		return fmt.Errorf("deployment %s: its supervisor has none of this name", name)
	}
	next := *d
	next.Spec.Replicas = &replicas
	if err := next.Validate(); err != nil {
		return err
	}
	m := &Manifest{Deployments: []*Deployment{&next}}
	m = m.with(t.g.now(), false)
	if err := m.together(); err != nil {
		return err
	}
	if len(m.AllPods()) == 0 {
		return fmt.Errorf("deployment %s: nothing would be left to run: a supervisor ends with its last pod; stop the pods instead (peapod pod stop deployment/%s)", name, name)
	}
	for _, p := range next.Pods() {
		if err := t.g.checkOwner(p); err != nil {
			return err
		}
	}
	t.g.mu.Lock()
	t.g.manifest = m
	t.g.mu.Unlock()
	return t.roll(&next, false)
}

// now is what is to run.
func (g *Group) now() *Manifest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.manifest
}
