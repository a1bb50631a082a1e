package pod

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
)

// What a pod was started from is in its directory, in origin.json: the request to its
// supervisor, which has the file's content and the options. By it the pod is started
// again when it has ended, and its supervisor too (Store.Start).

// noteOrigin writes what the pod is started from. It can do without.
func (p place) noteOrigin(origin *request, log *slog.Logger) {
	if origin == nil {
		return
	}
	data, err := json.Marshal(origin)
	if err == nil {
		err = replaceFile(p.originFile(), data)
	}
	if err != nil {
		log.Warn("the pod cannot be started again once it has ended", "pod", p.name, "error", err)
	}
}

// origin reads it. It is nil where it is not known.
func (p place) origin() (*request, error) {
	var r request
	err := readJSON(p.originFile(), &r)
	if err != nil || len(r.Data) == 0 {
		return nil, err
	}
	return &r, nil
}

// originOf is what a member is started from: that of its like where it is new. mu is
// held.
func (g *Group) originOf(m *member) *request {
	if m.origin == nil {
		m.origin = g.options.origin
		for _, other := range g.list {
			if m.deployment != "" && other.deployment == m.deployment && other.origin != nil {
				m.origin = other.origin
			}
		}
	}
	return m.origin
}

// change makes a file that is applied the origin of what it has.
func (g *Group) change(m *Manifest, r *applyRequest) {
	if g.options.origin == nil {
		return
	}
	next := *g.options.origin
	if next.File = r.File; !filepath.IsAbs(r.File) {
		next.File = filepath.Join(r.Dir, r.File)
	}
	next.Data, next.Again = r.Data, false
	g.mu.Lock()
	defer g.mu.Unlock()
	g.options.origin = &next
	for _, member := range g.list {
		if m.pod(member.name) == nil && (member.deployment == "" || m.deployment(member.deployment) == nil) {
			continue
		}
		if member.origin = &next; member.supervisor != nil {
			member.supervisor.place.noteOrigin(&next, g.options.Store.log())
		}
	}
}

// remaining is what of a manifest is registered still, has ended and was started from
// origin, without services that others have by now, and the arguments for it.
func (s *Store) remaining(m *Manifest, origin *request) (*Manifest, map[string][]string) {
	own := *m
	own.Pods = slices.DeleteFunc(slices.Clone(m.Pods), func(p *Pod) bool { return !s.remains(p.Metadata.Name, origin) })
	own.Deployments = slices.DeleteFunc(slices.Clone(m.Deployments), func(d *Deployment) bool {
		list, err := s.DeploymentPods(d.Metadata.Name)
		return err != nil || slices.ContainsFunc(list, func(r *Record) bool { return !s.remains(r.Pod.Metadata.Name, origin) })
	})
	taken := func(name string) bool {
		_, err := s.serviceRecord(name)
		return err == nil
	}
	own.Services = slices.DeleteFunc(slices.Clone(m.Services), func(v *Service) bool { return taken(v.Metadata.Name) })
	pods := own.AllPods()
	args := maps.Clone(origin.Args)
	maps.DeleteFunc(args, func(container string, _ []string) bool {
		return !slices.ContainsFunc(pods, func(p *Pod) bool { return p.container(container) != nil })
	})
	return &own, args
}

// remains tells whether a pod has ended that was started from origin.
func (s *Store) remains(name string, origin *request) bool {
	p, err := s.stopped(name)
	if err != nil {
		return false
	}
	r, err := p.origin()
	return err == nil && r != nil && r.like(origin)
}

// like tells whether two are of the same file and pod.
func (r *request) like(other *request) bool {
	return r.File == other.File && r.Name == other.Name && bytes.Equal(r.Data, other.Data)
}
