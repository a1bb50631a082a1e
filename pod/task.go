package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// task is something that is being done to a group that runs.
type task struct {
	g    *Group
	ctx  context.Context // ends when nothing more is to be begun
	text func(string)
	// grace is what pods that are stopped have to end, negative for their own.
	grace time.Duration
}

func (t *task) tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.g.options.Store.log().Info("a change goes on", "what", text)
	t.text(text)
}

// tellStop tells that a member is stopped, and how long that may take.
func (t *task) tellStop(m *member) {
	if m.ended() {
		return
	}
	grace := t.grace
	if grace < 0 {
		grace = m.supervisor.GracePeriod()
	}
	t.tell("pod %s is being stopped, within %v", m.name, grace)
}

// errTimeout is the end of the time that a request had.
var errTimeout = errors.New("the time is over")

// perform does what is asked for, one request after the other.
func (g *Group) perform(r *groupRequest, text func(string)) (applied []Applied, err error) {
	if !g.changing.TryLock() {
		text("waiting for another change of these pods")
		g.changing.Lock()
	}
	defer g.changing.Unlock()
	ctx := g.living
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(r.Timeout*float64(time.Second)), errTimeout)
		defer cancel()
	}
	t := &task{g: g, ctx: ctx, text: text, grace: r.grace()}
	if r.Apply != nil {
		applied, err = t.apply(r.Apply)
	}
	for name, replicas := range r.Scale {
		err = errors.Join(err, t.scale(name, replicas))
	}
	if err == nil {
		err = t.restart(r.Restart)
	}
	if g.living.Err() != nil && err != nil {
		return applied, errGroupEnds
	}
	return applied, err
}

// restart restarts pods and Deployments side by side.
func (t *task) restart(names []string) error {
	var list []func() error
	for _, name := range names {
		if deployment, ok := strings.CutPrefix(name, deploymentPrefix); ok {
			d := t.g.deployment(deployment)
			if d == nil {
				return fmt.Errorf("deployment %s: its supervisor has none of this name", deployment)
			}
			list = append(list, func() error { return t.roll(d, true) })
			continue
		}
		m := t.g.member(name)
		if m == nil {
			return fmt.Errorf("pod %s: %w for its supervisor", name, ErrNotExist)
		}
		list = append(list, func() error { return t.restartPod(m) })
	}
	return sideBySide(len(list), list)
}

// restartPod starts a pod again, with its volumes and logs, and waits until it is
// ready.
func (t *task) restartPod(m *member) error {
	r, err := t.g.ready(m.pod, m.deployment)
	if err != nil {
		return err
	}
	if err := t.replace(m, r, m.pod, true); err != nil {
		return err
	}
	return t.awaitReady(m, 0, defaultProgressDeadline)
}

// replace stops a member's pod and runs another one in its place. Where that
// cannot be started the earlier one runs again.
func (t *task) replace(m *member, r *readied, p *Pod, keep bool) error {
	old := m.supervisor
	t.tellStop(m)
	from, err := old.yield(t.grace)
	if err != nil {
		return err
	}
	if t.g.living.Err() != nil {
		old.giveUp()
		return errGroupEnds
	}
	if from != nil {
		from.keep = keep
	}
	s, err := t.g.launch(r, from)
	if err == nil {
		t.g.put(m, p, s)
		t.tell("pod %s runs", m.name)
		return nil
	}
	if back, err := t.g.ready(m.pod, m.deployment); err == nil {
		if s, err := t.g.launch(back, nil); err == nil {
			t.g.put(m, m.pod, s)
			t.tell("pod %s runs as it did before", m.name)
		}
	}
	return fmt.Errorf("pod %s: %w", m.name, err)
}

// add starts one more pod.
func (t *task) add(m *member) error {
	if t.ctx.Err() != nil {
		return t.tooLate(m)
	}
	r, err := t.g.ready(m.pod, m.deployment)
	if err != nil {
		return err
	}
	s, err := t.g.launch(r, nil)
	if err != nil {
		return fmt.Errorf("pod %s: %w", m.name, err)
	}
	t.g.mu.Lock()
	t.g.list = append(t.g.list, m)
	t.g.mu.Unlock()
	t.g.put(m, m.pod, s)
	t.tell("pod %s runs", m.name)
	return nil
}

// remove stops a member, of which nothing is to be left.
func (t *task) remove(m *member) error {
	t.tellStop(m)
	from, err := m.supervisor.yield(t.grace)
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	if from != nil {
		from.lock.Close()
	}
	if err := t.g.options.Store.Remove(context.Background(), m.name, false); err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	t.g.mu.Lock()
	t.g.list = slices.DeleteFunc(t.g.list, func(o *member) bool { return o == m })
	t.g.mu.Unlock()
	t.tell("pod %s is removed", m.name)
	return nil
}

// member returns the one called name, or nil.
func (g *Group) member(name string) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.list {
		if m.name == name {
			return m
		}
	}
	return nil
}

// deployment returns that of what is to run, or nil.
func (g *Group) deployment(name string) *Deployment {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range g.manifest.Deployments {
		if d.Metadata.Name == name {
			return d
		}
	}
	return nil
}
