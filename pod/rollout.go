package pod

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// deploymentPrefix is before a Deployment's name where pods may be named too.
const deploymentPrefix = "deployment/"

// rollout brings the pods of a Deployment in line with it. Those that are to stay
// have its names, NAME-0 to NAME-(replicas-1): each is stopped and runs anew. So
// that there are never fewer that are ready than the strategy says, others help
// meanwhile, with higher numbers.
type rollout struct {
	*task
	d     *Deployment
	have  []*member // by number
	stale []*member // of these, those that are to be replaced
	extra []*member // and those that there are too many
	fresh []*member // that are missing
}

// roll makes all pods of a Deployment what it says; with anew also those that
// are so already.
func (t *task) roll(d *Deployment, anew bool) error {
	r := t.plan(d, anew)
	var err error
	if d.recreates() {
		err = r.recreate()
	} else {
		err = r.rolling()
	}
	if err != nil {
		return fmt.Errorf("deployment %s: %w", d.Metadata.Name, err)
	}
	return nil
}

// plan compares what runs with what is to run.
func (t *task) plan(d *Deployment, anew bool) *rollout {
	r := &rollout{task: t, d: d}
	wanted := map[string]*Pod{}
	for _, p := range d.Pods() {
		wanted[p.Metadata.Name] = p
	}
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	for _, m := range t.g.list {
		if m.deployment != d.Metadata.Name {
			continue
		}
		p := wanted[m.name]
		delete(wanted, m.name)
		switch {
		case p == nil:
			r.extra = append(r.extra, m)
		case anew || !m.pod.same(p) || m.ended():
			r.have, r.stale = append(r.have, m), append(r.stale, m)
		default:
			r.have = append(r.have, m)
		}
	}
	for _, p := range d.Pods() {
		if wanted[p.Metadata.Name] != nil {
			r.fresh = append(r.fresh, &member{name: p.Metadata.Name, deployment: d.Metadata.Name, pod: p})
		}
	}
	// First what does not serve anyway.
	slices.SortStableFunc(r.stale, func(a, b *member) int { return cmp.Compare(a.worth(), b.worth()) })
	return r
}

// ended tells whether nothing of the pod will run again. Its supervisor may have
// something to clear up still.
func (m *member) ended() bool {
	m.supervisor.mu.Lock()
	defer m.supervisor.mu.Unlock()
	return m.supervisor.ending
}

func (m *member) worth() int {
	status := m.supervisor.Status()
	switch {
	case m.ended():
		return 0
	case !status.Ready():
		return 1
	}
	return 2
}

// recreate stops all that is to be replaced before anything new begins.
func (r *rollout) recreate() error {
	var stops []func() error
	for _, m := range append(slices.Clone(r.stale), r.extra...) {
		stops = append(stops, func() error { return r.remove(m) })
	}
	if err := sideBySide(len(stops), stops); err != nil {
		return err
	}
	for _, m := range r.stale {
		r.fresh = append(r.fresh, &member{name: m.name, deployment: m.deployment, pod: r.wanted(m.name)})
	}
	return r.begin(r.fresh)
}

// rolling replaces some at a time.
func (r *rollout) rolling() error {
	surge, unavailable := r.d.bounds()
	if err := r.begin(r.fresh); err != nil {
		return err
	}
	helpers, err := r.help(min(surge, len(r.stale)))
	if err != nil {
		return err
	}
	var steps []func() error
	for _, m := range r.stale {
		steps = append(steps, func() error { return r.step(m) })
	}
	if err := sideBySide(len(helpers)+unavailable, steps); err != nil {
		return err
	}
	var stops []func() error
	for _, m := range append(helpers, r.extra...) {
		stops = append(stops, func() error { return r.remove(m) })
	}
	return sideBySide(len(stops), stops)
}

// step replaces one pod and waits until it is ready.
func (r *rollout) step(m *member) error {
	if r.ctx.Err() != nil {
		return r.tooLate(m)
	}
	p := r.wanted(m.name)
	next, err := r.g.ready(p, m.deployment)
	if err != nil {
		return err
	}
	if err := r.replace(m, next, p, false); err != nil {
		return err
	}
	return r.await(m)
}

func (r *rollout) await(m *member) error {
	return r.awaitReady(m, time.Duration(r.d.Spec.MinReadySeconds)*time.Second, r.d.progressDeadline())
}

// begin starts pods and waits until they are ready.
func (r *rollout) begin(list []*member) error {
	var starts []func() error
	for _, m := range list {
		starts = append(starts, func() error {
			if err := r.add(m); err != nil {
				return err
			}
			return r.await(m)
		})
	}
	return sideBySide(startAtOnce, starts)
}

// help starts so many pods more than the Deployment has.
func (r *rollout) help(n int) (helpers []*member, err error) {
	taken := map[string]bool{}
	for _, m := range r.extra {
		taken[m.name] = true
	}
	for i := r.d.Replicas(); len(helpers) < n; i++ {
		if p := r.d.pod(i); !taken[p.Metadata.Name] && r.g.options.Store.free(p.Metadata.Name) {
			helpers = append(helpers, &member{name: p.Metadata.Name, deployment: r.d.Metadata.Name, pod: p})
		}
	}
	return helpers, r.begin(helpers)
}

// wanted is the pod that is to have a name.
func (r *rollout) wanted(name string) *Pod {
	for _, p := range r.d.Pods() {
		if p.Metadata.Name == name {
			return p
		}
	}
	return nil
}

func (t *task) tooLate(m *member) error { return t.notReady(m, "", errors.New("it was not begun")) }

// sideBySide does all of them, so many at a time, and begins no more after the
// first error.
func sideBySide(atOnce int, list []func() error) error {
	errs := make([]error, len(list))
	var mu sync.Mutex
	failed := false
	places := make(chan struct{}, max(atOnce, 1))
	var group sync.WaitGroup
	for i, f := range list {
		places <- struct{}{}
		mu.Lock()
		stop := failed
		mu.Unlock()
		if stop {
			break
		}
		group.Go(func() {
			defer func() { <-places }()
			if errs[i] = f(); errs[i] != nil {
				mu.Lock()
				failed = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
