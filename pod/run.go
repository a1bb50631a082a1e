package pod

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/runtime"
)

// Options say how a pod is run. The zero value is useful.
type Options struct {
	// Store is where the pod is registered.
	Store Store
	// Name replaces the name in the spec.
	Name string
	// Env are variables (NAME=value) for all containers; they win over the
	// spec's.
	Env []string
	// Args are appended to the arguments of the containers that they name.
	Args map[string][]string
	// Output gets each line that a container writes, from several
	// goroutines but one at a time. nil is nowhere but the log.
	Output func(Line)
	// Event gets each end of a container, one at a time, perhaps while Output
	// is called for another one. nil is nowhere.
	Event func(Event)
	// Ready gets each change of what is ready, one at a time, also during
	// Start. nil is nowhere.
	Ready func(Readiness)
	// Builtin is the peapod binary, for the image builtin:demo; "" refuses
	// that image.
	Builtin string
	// Network is the pod's, in the words of networks.Parse: "none", "host",
	// "bridge"… "" is none, or the host's where the spec says hostNetwork.
	Network string
	// Publish are further host ports. Each is that of the container which has
	// the containerPort, or of the first container.
	Publish []Port
	// Keep leaves the pod registered when it has ended, with its logs and
	// volumes, until Store.Remove.
	Keep bool

	// ownLog gives the supervisor a log file of its own.
	ownLog bool
	// group is what the pod belongs to.
	group groupMark
	// origin is what the pod is started from, to be started again; nil is unknown.
	origin *request
	// again takes the places of pods that have ended.
	again bool
	// ended, unless it is nil, is called before others see that the pod has
	// ended.
	ended func()
}

// Result is how a pod ended.
type Result struct {
	// Container is the first that failed; "" when none did.
	Container string
	// ExitCode is its exit status, 128 and the signal's number where that
	// ended it; 0 when no container failed. What a container does once the
	// pod is being stopped is no failure, nor is what a later run of it made
	// good.
	ExitCode int
}

// Run runs a pod until its containers have ended for good or ctx ends, which
// stops it gracefully: SIGTERM, then SIGKILL after the spec's grace period. The
// error tells what kept the pod from starting; then nothing is left of it. p is
// not changed.
func Run(ctx context.Context, p *Pod, o *Options) (Result, error) {
	s, err := Start(ctx, p, o)
	if err != nil {
		return Result{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.Stop(-1) })
	defer stop()
	return s.Wait(), nil
}

// prepare applies the options to a copy of the spec and looks at everything
// that the spec refers to.
func prepare(p *Pod, o *Options) (_ *Pod, _ []*Resolved, _ *namespaces.IDMaps, err error) {
	pod := *p
	pod.Spec.Containers = append([]Container(nil), p.Spec.Containers...)
	if o.Name != "" {
		if err := CheckName(o.Name); err != nil {
			return nil, nil, nil, fmt.Errorf("name %q: %w", o.Name, err)
		}
		pod.Metadata.Name = o.Name
	}
	for name, args := range o.Args {
		c := pod.container(name)
		if c == nil {
			return nil, nil, nil, fmt.Errorf("argument for container %q: the pod has no such container; it has %s", name, pod.containerNames())
		}
		c.Args = append(append([]string(nil), c.Args...), args...)
	}
	if err := pod.addEnv(o.Env); err != nil {
		return nil, nil, nil, err
	}
	for _, port := range o.Publish {
		pod.publish(port)
	}
	if err := pod.Validate(); err != nil {
		return nil, nil, nil, err
	}
	if err := runtime.CheckHost(); err != nil {
		return nil, nil, nil, err
	}
	resolved, err := pod.Resolve()
	if err != nil {
		return nil, nil, nil, err
	}
	for i, r := range resolved {
		if r.Image.Builtin() && o.Builtin == "" {
			return nil, nil, nil, pod.Errorf(containerPath(i)+".image", "%s is the peapod command itself; a program that embeds peapod has none unless it says where that is (Options.Builtin)", BuiltinDemo)
		}
	}
	ids, err := pod.checkRootless(resolved)
	if err != nil {
		return nil, nil, nil, err
	}
	return &pod, resolved, ids, nil
}

// publish gives a container a host port.
func (p *Pod) publish(port Port) {
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		for j, have := range c.Ports {
			if have.ContainerPort == port.ContainerPort && have.HostPort == 0 && orTCP(have.Protocol) == "TCP" {
				c.Ports = slices.Clone(c.Ports)
				c.Ports[j].HostPort, c.Ports[j].HostIP = port.HostPort, port.HostIP
				return
			}
		}
	}
	c := &p.Spec.Containers[0]
	c.Ports = append(slices.Clone(c.Ports), port)
}

// containerNames lists the containers for an error.
func (p *Pod) containerNames() string {
	var names []string
	for i := range p.Spec.Containers {
		names = append(names, p.Spec.Containers[i].Name)
	}
	return strings.Join(names, ", ")
}

func (p *Pod) container(name string) *Container {
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == name {
			return &p.Spec.Containers[i]
		}
	}
	return nil
}

// addEnv sets variables in all containers, before the spec's own, so that
// those may refer to them, and instead of those of the same name.
func (p *Pod) addEnv(list []string) error {
	var vars []EnvVar
	set := map[string]bool{}
	for _, e := range list {
		name, value, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return fmt.Errorf("environment variable %q: give NAME=value", e)
		}
		set[name] = true
		// What comes from the command line is taken as it is.
		vars = append(vars, EnvVar{Name: name, Value: strings.ReplaceAll(value, "$", "$$")})
	}
	if len(vars) == 0 {
		return nil
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		env := append([]EnvVar(nil), vars...)
		for _, e := range c.Env {
			if !set[e.Name] {
				env = append(env, e)
			}
		}
		c.Env = env
	}
	return nil
}

// Line is a line that a container wrote.
type Line struct {
	// Pod is its name; Store.Logs, which was given it, leaves it out.
	Pod       string
	Container string
	// Stream is "stdout" or "stderr".
	Stream string
	Time   time.Time
	// Text is the line without its end. It is valid during the call only.
	Text []byte
	// Partial tells that the line goes on in the next one of the stream: it
	// is longer than 16 KiB, or its end has not come for 100 ms. The last
	// one of a line is not partial, and empty where nothing more came.
	Partial bool
}
