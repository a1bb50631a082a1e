package pod

import (
	"encoding/json"
	"os"
)

// groupMark says what a pod belongs to, in the file group of its directory.
type groupMark struct {
	// ID is that of the group's requests; "" where the pod's process takes
	// none, but signals.
	ID string `json:"id,omitempty"`
	// Deployment is the one that the pod is of, if any.
	Deployment string `json:"deployment,omitempty"`
}

// mark says what the pod belongs to, before it is known who supervises it.
func (p place) mark(m groupMark) error {
	if m == (groupMark{}) {
		return nil
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(p.groupFile(), data, 0o600)
}

// groupMark is empty where there is none.
func (p place) groupMark() (m groupMark) {
	if readJSON(p.groupFile(), &m) != nil {
		return groupMark{} // it goes, this very moment
	}
	return m
}

// hasCompany tells whether the pod's process supervises others too.
func (s *Store) hasCompany(p place) bool {
	mark := p.groupMark()
	list, err := s.List()
	for _, r := range list {
		other, bad := s.place(r.Pod.Metadata.Name)
		if bad == nil && mark.ID != "" && other.name != p.name && !r.Status.finished() && other.groupMark().ID == mark.ID {
			return true
		}
	}
	return err != nil
}
