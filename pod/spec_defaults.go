package pod

import (
	"path/filepath"
	"time"
)

// defaultGracePeriod is Kubernetes' default, in seconds.
const defaultGracePeriod = 30

// SetDefaults fills in what Kubernetes fills in: namespace, restart policy,
// grace period, protocols, requests that equal the limits, emptyDir for volumes
// without a source.
func (p *Pod) SetDefaults() {
	setDefault(&p.Metadata.Namespace, "default")
	p.Spec.setDefaults()
}

func (s *Spec) setDefaults() {
	setDefault(&s.RestartPolicy, RestartAlways)
	if s.TerminationGracePeriodSeconds == nil {
		s.TerminationGracePeriodSeconds = new(int64(defaultGracePeriod))
	}
	for i := range s.Containers {
		s.Containers[i].setDefaults()
	}
	for i := range s.Volumes {
		if v := &s.Volumes[i]; v.HostPath == nil && v.EmptyDir == nil {
			v.EmptyDir = &EmptyDir{}
		}
	}
}

func (c *Container) setDefaults() {
	for i := range c.Ports {
		setDefault(&c.Ports[i].Protocol, "TCP")
	}
	for _, p := range []*Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		p.setDefaults()
	}
	limits, requests := &c.Resources.Limits, &c.Resources.Requests
	if requests.CPU.IsZero() {
		requests.CPU = limits.CPU
	}
	if requests.Memory.IsZero() {
		requests.Memory = limits.Memory
	}
}

func setDefault[T ~string](s *T, value T) {
	if *s == "" {
		*s = value
	}
}

// Hostname returns the host name inside the pod: what the spec says, or the pod's name.
func (p *Pod) Hostname() string {
	if p.Spec.Hostname != "" {
		return p.Spec.Hostname
	}
	return p.Metadata.Name
}

// GracePeriod returns how long containers have between SIGTERM and SIGKILL.
func (p *Pod) GracePeriod() time.Duration {
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultGracePeriod * time.Second
}

// HostPath returns the absolute path on the host of a hostPath volume.
func (p *Pod) HostPath(h *HostPath) (string, error) { return p.absolute(h.Path) }

// absolute makes a path of the spec absolute.
func (p *Pod) absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Abs(filepath.Join(p.Dir, path))
}

// volume returns the volume of that name, or nil.
func (p *Pod) volume(name string) *Volume {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Name == name {
			return &p.Spec.Volumes[i]
		}
	}
	return nil
}
