package main

import (
	"fmt"

	"github.com/peapod/peapod/pod"
)

// labels are how containers are called where those of several pods are shown
// together: pod/container, and by their own names where there is one pod.
type labels struct {
	list  []string
	specs map[string]*pod.Pod // by name; nil where there is one
	one   *pod.Pod
}

func newLabels(pods []*pod.Pod) *labels {
	l := &labels{}
	if len(pods) == 1 {
		l.one = pods[0] // which may have another name by an option
	} else {
		l.specs = map[string]*pod.Pod{}
	}
	for _, p := range pods {
		if l.specs != nil {
			l.specs[p.Metadata.Name] = p
		}
		for _, c := range p.Spec.Containers {
			l.list = append(l.list, l.of(p.Metadata.Name, c.Name))
		}
	}
	return l
}

func (l *labels) of(pod, container string) string {
	if l.one != nil {
		return container
	}
	return pod + "/" + container
}

// probed tells whether a container is not ready before a probe has said so.
func (l *labels) probed(pod, container string) bool {
	spec := l.one
	if spec == nil {
		spec = l.specs[pod]
	}
	if spec == nil {
		return false
	}
	for _, c := range spec.Spec.Containers {
		if c.Name == container {
			return c.ReadinessProbe != nil || c.StartupProbe != nil
		}
	}
	return false
}

// podsText names pods, or tells how many they are.
func podsText(names []string) string {
	if len(names) == 1 {
		return "pod " + names[0]
	}
	return fmt.Sprintf("%d pods", len(names))
}
