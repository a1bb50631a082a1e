package pod

import (
	"errors"
	"os"
)

// errGroupEnds tells that a change came too late.
var errGroupEnds = errors.New("the pods are being stopped")

// put makes a supervisor the member's, whose pod has begun.
func (g *Group) put(m *member, p *Pod, s *Supervisor) {
	g.mu.Lock()
	m.pod, m.supervisor = p, s
	grace := g.grace
	origin := g.originOf(m)
	g.mu.Unlock()
	s.place.noteOrigin(origin, s.log())
	if grace != nil {
		s.Stop(*grace)
	} else if _, err := os.Stat(s.place.stopFile()); err == nil {
		s.Stop(-1) // somebody was faster
	}
}

// launch starts one more pod of the group, or one anew.
func (g *Group) launch(r *readied, from *handed) (*Supervisor, error) {
	g.mu.Lock()
	g.busy++
	g.mu.Unlock()
	s, err := r.launch(g.living, from)
	if err != nil {
		g.leave()
	}
	return s, err
}

// enter begins a change, unless the group ends. The caller leaves.
func (g *Group) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.over:
		return errNoGroup
	case g.grace != nil:
		return errGroupEnds
	}
	g.busy++
	return nil
}

// leave ends the group when nothing is left of it.
func (g *Group) leave() {
	g.mu.Lock()
	g.busy--
	g.over = g.busy == 0
	over := g.over
	g.mu.Unlock()
	if over {
		g.clear()
		close(g.done)
	}
}

// clear gives back what the group has beside its pods.
func (g *Group) clear() {
	g.stop()
	g.requests.close()
	g.services.end()
}

// abandon ends all pods at once, of which nothing is to be left.
func (g *Group) abandon() {
	for _, s := range g.Supervisors() {
		s.abandon()
	}
	<-g.done
}

// heed stops the member of this name, as somebody has asked for in its stop.json.
func (g *Group) heed(name string) {
	for _, m := range g.members() {
		if m.name == name {
			m.supervisor.Stop(-1)
		}
	}
}
