package pod

import (
	"strings"
	"time"
)

// ConditionType names what a condition is about.
type ConditionType string

// The conditions of a pod.
const (
	// ContainersReady is true while all containers are ready.
	ContainersReady ConditionType = "ContainersReady"
	// PodReady is true while the pod is to receive connections: its
	// containers are ready and it is not being stopped.
	PodReady ConditionType = "Ready"
)

// PodCondition is one condition of a pod.
type PodCondition struct {
	Type   ConditionType `json:"type"`
	Status string        `json:"status"` // "True" or "False"
	// LastTransitionTime is when the status became what it is.
	LastTransitionTime time.Time `json:"lastTransitionTime"`
	Reason             string    `json:"reason,omitempty"`
	Message            string    `json:"message,omitempty"`
}

// Readiness is a change of what is ready.
type Readiness struct {
	Pod string
	// Container is the one that has become ready or has ceased to be; "" when
	// the pod is about to be stopped.
	Container string
	Ready     bool
	// PodReady tells whether the pod is ready now.
	PodReady bool
	// Message tells what a probe found where the container is not ready.
	Message string
}

// begin is what a container is at its start.
func (c *ContainerStatus) begin(spec *Container) {
	c.Started = spec.StartupProbe == nil
	c.Ready, c.unready = false, "its startup probe has not succeeded yet"
	if c.Started {
		c.Ready, c.unready = readyAtOnce(spec)
	}
}

// readyAtOnce is how ready a container is that has just started.
func readyAtOnce(spec *Container) (ready bool, why string) {
	if spec.ReadinessProbe == nil {
		return true, ""
	}
	return false, "its readiness probe has not succeeded yet"
}

// Ready reports whether the pod is to receive connections.
func (s *PodStatus) Ready() bool {
	for _, c := range s.Conditions {
		if c.Type == PodReady {
			return c.Status == "True"
		}
	}
	return false
}

// setConditions makes the conditions what the rest of the status says.
func (s *PodStatus) setConditions() {
	var unready []string
	for _, c := range s.ContainerStatuses {
		switch {
		case c.Ready:
		case c.unready != "":
			unready = append(unready, c.Name+": "+c.unready)
		default:
			unready = append(unready, c.Name+" does not run")
		}
	}
	containers := PodCondition{Type: ContainersReady, Status: "True"}
	if len(unready) > 0 {
		containers.Status, containers.Reason, containers.Message = "False", "ContainersNotReady", strings.Join(unready, "; ")
	}
	ready := containers
	ready.Type = PodReady
	switch {
	case s.Phase == PodSucceeded:
		ready.Status, ready.Reason, ready.Message = "False", "PodCompleted", ""
		containers = ready
		containers.Type = ContainersReady
	case s.DeletionTimestamp != nil && !s.finished():
		ready.Status, ready.Reason, ready.Message = "False", "PodStopping", ""
	}
	now := time.Now().UTC()
	list := []PodCondition{containers, ready}
	for i := range list {
		list[i].LastTransitionTime = now
		for _, old := range s.Conditions {
			if old.Type == list[i].Type && old.Status == list[i].Status {
				list[i].LastTransitionTime = old.LastTransitionTime
			}
		}
	}
	s.Conditions = list // a new one: Status has given the old one away
}

// foundUnready begins what a readiness probe has found, as distinct from that it
// has found nothing yet.
const foundUnready = "readiness probe: "

// changes lists what is ready now and was not, the reverse, and what a probe
// says of a container that is not ready still.
func (s *PodStatus) changes(before *PodStatus) (list []Readiness) {
	for i, c := range s.ContainerStatuses {
		old := &before.ContainerStatuses[i]
		if c.Ready != old.Ready || c.unready != old.unready && strings.HasPrefix(c.unready, foundUnready) {
			list = append(list, Readiness{Container: c.Name, Ready: c.Ready, PodReady: s.Ready(), Message: c.unready})
		}
	}
	if len(list) == 0 && s.Ready() != before.Ready() {
		list = append(list, Readiness{PodReady: s.Ready()})
	}
	return list
}
