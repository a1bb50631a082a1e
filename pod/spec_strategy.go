package pod

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/strict"
)

// DeploymentStrategy says how a deployment is changed while it runs.
type DeploymentStrategy struct {
	// Type is RollingUpdate, where absent too: some pods are replaced at a
	// time; or Recreate: all are stopped before the changed ones begin.
	Type string `json:"type,omitempty"`
	// RollingUpdate is for that type.
	RollingUpdate *RollingUpdate `json:"rollingUpdate,omitempty"`
}

// RollingUpdate bounds how many pods are replaced at a time.
type RollingUpdate struct {
	// MaxUnavailable is how many fewer than replicas may be ready; 25% where
	// absent. A percentage is rounded down.
	MaxUnavailable *Share `json:"maxUnavailable,omitempty"`
	// MaxSurge is how many more than replicas may run; 25% where absent. A
	// percentage is rounded up.
	MaxSurge *Share `json:"maxSurge,omitempty"`
}

// Share is a number, or a percentage of one: Kubernetes' IntOrString.
type Share struct {
	Number  int
	Percent bool
}

// UnmarshalNode takes 2 or "25%" from a spec.
func (s *Share) UnmarshalNode(n *strict.Node) (err error) {
	switch n.Kind {
	case strict.Number:
		if s.Number, err = strconv.Atoi(n.Text); err == nil && s.Number >= 0 {
			return nil
		}
	case strict.String:
		text, ok := strings.CutSuffix(n.Text, "%")
		if s.Number, err = strconv.Atoi(text); ok && err == nil && s.Number >= 0 && text[0] != '+' {
			s.Percent = true
			return nil
		}
	default:
		return fmt.Errorf("found %s, expected a number or a percentage", n.Kind)
	}
	return fmt.Errorf("found %s, expected a number, 0 or more, or a percentage such as \"25%%\"", n.Text)
}

// String is the number, with its percent sign.
func (s Share) String() string {
	if s.Percent {
		return strconv.Itoa(s.Number) + "%"
	}
	return strconv.Itoa(s.Number)
}

// MarshalJSON is a number or a string.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Percent {
		return json.Marshal(s.String())
	}
	return strconv.AppendInt(nil, int64(s.Number), 10), nil
}

// of is the share of a number; up rounds a percentage up.
func (s *Share) of(total int, up bool) int {
	switch {
	case s == nil:
		s = &Share{Number: 25, Percent: true}
		return s.of(total, up)
	case !s.Percent:
		return s.Number
	case up:
		return (s.Number*total + 99) / 100
	}
	return s.Number * total / 100
}

// bounds are how many pods more than the replicas may run during a rolling
// update, and how many fewer. Where each has ports of the host there can be no
// more.
func (d *Deployment) bounds() (surge, unavailable int) {
	var u RollingUpdate
	if d.Spec.Strategy.RollingUpdate != nil {
		u = *d.Spec.Strategy.RollingUpdate
	}
	surge, unavailable = u.MaxSurge.of(d.Replicas(), true), min(u.MaxUnavailable.of(d.Replicas(), false), d.Replicas())
	if d.hasHostPorts() {
		surge = 0
	}
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

// hasHostPorts tells whether two of the pods would be in each other's way.
func (d *Deployment) hasHostPorts() bool {
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				return true
			}
		}
	}
	return d.Spec.Template.Spec.HostNetwork
}

func (d *Deployment) recreates() bool { return d.Spec.Strategy.Type == "Recreate" }

// defaultProgressDeadline is Kubernetes'.
const defaultProgressDeadline = 600 * time.Second

// progressDeadline is how long a pod has to become ready.
func (d *Deployment) progressDeadline() time.Duration {
	if s := d.Spec.ProgressDeadlineSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultProgressDeadline
}

// strategy checks how the deployment is changed, as Kubernetes does.
func (ps *problems) strategy(s *DeploymentSpec) {
	switch s.Strategy.Type {
	case "", "RollingUpdate":
	case "Recreate":
		if s.Strategy.RollingUpdate != nil {
			ps.addf("spec.strategy.rollingUpdate", "it is for the type RollingUpdate, and spec.strategy.type is Recreate; leave one of them out")
		}
	default:
		ps.oneOf("spec.strategy.type", s.Strategy.Type, "RollingUpdate", "Recreate")
	}
	if u := s.Strategy.RollingUpdate; u != nil {
		if m := u.MaxUnavailable; m != nil && m.Percent && m.Number > 100 {
			ps.addf("spec.strategy.rollingUpdate.maxUnavailable", "found %s; use 100%% at most", m)
		}
		if m := u.MaxSurge; m != nil && m.Number > maxReplicas {
			ps.addf("spec.strategy.rollingUpdate.maxSurge", "found %s; use %d at most", m, maxReplicas)
		}
		if u.MaxSurge != nil && u.MaxUnavailable != nil && u.MaxSurge.Number == 0 && u.MaxUnavailable.Number == 0 {
			ps.addf("spec.strategy.rollingUpdate.maxUnavailable", "0, as maxSurge is: nothing could ever be replaced; make one of them 1 or more")
		}
	}
	const year = 365 * 24 * 3600
	if m := s.MinReadySeconds; m < 0 || m > year {
		ps.addf("spec.minReadySeconds", "%d is out of range; use 0 to %d", m, year)
	}
	deadline := int(defaultProgressDeadline.Seconds())
	if s.ProgressDeadlineSeconds != nil {
		deadline = *s.ProgressDeadlineSeconds
	}
	if deadline <= s.MinReadySeconds || deadline > year {
		ps.addf("spec.progressDeadlineSeconds", "%d is out of range; use more than minReadySeconds (%d), up to %d", deadline, s.MinReadySeconds, year)
	}
}
