package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Group are the pods of a manifest, all supervised by the calling process. Each
// is registered by itself, and can be looked at, stopped and removed by itself.
// Other processes may ask for changes: see Store.Restart and Store.Apply.
type Group struct {
	options   Options // of each of its pods
	published string  // the only one that Options.Publish is for
	requests  *requests
	services  *served // or nil
	done      chan struct{}
	living    context.Context // ends when the group is to stop
	stop      context.CancelFunc
	changing  sync.Mutex // held by the change that is being made

	mu       sync.Mutex
	manifest *Manifest // what is to run
	list     []*member
	busy     int // members that have not ended, and changes; with the last one the group ends
	over     bool
	grace    *time.Duration // to stop in, once the group is to stop
}

// member is a pod of a group. What may change needs the group's mu.
type member struct {
	name       string
	deployment string // "" where there is none
	pod        *Pod   // as it is in the manifest
	supervisor *Supervisor
	origin     *request // that it is started from, or nil
}

// GroupResult is how the pods of a group ended.
type GroupResult struct {
	// Pod is the first, in the order of Names, that failed; "" when none did.
	Pod string
	Result
}

// startAtOnce bounds how many pods of a group are started side by side.
const startAtOnce = 16

// StartManifest starts all pods of a manifest and returns once all of their
// containers run. Options.Name is for a manifest with one pod, Options.Args for
// all containers of the name. The error tells what kept them from starting; then
// nothing is left of any.
//
// ctx concerns the start only.
func StartManifest(ctx context.Context, m *Manifest, o *Options) (_ *Group, err error) {
	if o == nil {
		o = &Options{}
	}
	if _, err := m.runnable(o); err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	g := &Group{options: o.together(), manifest: m.rooted(dir).renamed(o.Name), done: make(chan struct{}), busy: 1}
	g.options.Name = ""
	g.list = g.manifest.members()
	g.published = g.list[0].name
	g.living, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			g.clear()
		}
	}()
	list, err := g.readyAll(g.list)
	if err != nil {
		return nil, err
	}
	if len(list) > 1 && !o.again {
		if err := o.Store.vacant(g.manifest.AllPods()); err != nil {
			return nil, err
		}
	}
	if g.requests, err = o.Store.openRequests(); err != nil {
		return nil, err
	}
	for _, r := range list {
		r.options.group.ID = g.requests.id()
	}
	if g.services, err = o.Store.serve(m.Services, m.allEndpoints(), g.requests.id()); err != nil {
		return nil, err
	}
	if o.again {
		if err := g.takePlaces(list); err != nil {
			return nil, err
		}
	}
	g.busy += len(list)
	supervisors, err := startTogether(ctx, list)
	if err != nil {
		return nil, err
	}
	for i, s := range supervisors {
		g.put(g.list[i], g.list[i].pod, s)
	}
	if o.again {
		g.removeOthers()
	}
	g.requests.serve(g)
	g.leave()
	return g, nil
}

// renamed is the manifest, whose only pod is called name where that is not "".
func (m *Manifest) renamed(name string) *Manifest {
	own := *m
	if name != "" {
		p := *m.AllPods()[0]
		p.Metadata.Name = name
		own.Pods, own.Deployments = []*Pod{&p}, nil
	}
	return &own
}

// members are the pods of a manifest, which are to be started.
func (m *Manifest) members() (list []*member) {
	for _, p := range m.Pods {
		list = append(list, &member{name: p.Metadata.Name, pod: p})
	}
	for _, d := range m.Deployments {
		for _, p := range d.Pods() {
			list = append(list, &member{name: p.Metadata.Name, deployment: d.Metadata.Name, pod: p})
		}
	}
	return list
}

// readyAll prepares pods. What is wrong with all pods of a Deployment is told once.
func (g *Group) readyAll(members []*member) ([]*readied, error) {
	list := make([]*readied, len(members))
	var errs []error
	for i, m := range members {
		var err error
		if list[i], err = g.ready(m.pod, m.deployment); err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	return list, errors.Join(errs...)
}

// ready prepares a pod.
func (g *Group) ready(p *Pod, deployment string) (*readied, error) {
	own := g.options
	own.Args = p.arguments(own.Args)
	own.ended = g.leave
	own.group = groupMark{Deployment: deployment}
	if g.requests != nil {
		own.group.ID = g.requests.id()
	}
	if p.Metadata.Name != g.published {
		own.Publish = nil
	}
	return ready(p, &own)
}

// runnable are the pods of a manifest that can be run with the options.
func (m *Manifest) runnable(o *Options) ([]*Pod, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if err := CheckServiceRanges(o.Store.ServiceRanges); err != nil {
		return nil, err
	}
	for _, s := range m.Services {
		if err := s.supported(); err != nil {
			return nil, err
		}
	}
	pods := m.AllPods()
	switch {
	case len(pods)+len(m.Deployments) == 0:
		return nil, errors.New("there is no pod to run: the file has neither a Pod nor a Deployment")
	case len(pods) == 0:
		return nil, errors.New("there is no pod to run: all Deployments have 0 replicas")
	case len(pods) > 1 && o.Name != "":
		return nil, fmt.Errorf("name %q: there are %d pods; a name can be given to a single one", o.Name, len(pods))
	}
	if len(pods) > 1 && len(o.Publish) > 0 {
		return nil, fmt.Errorf("published port %d: there are %d pods; write hostPort into the spec of one, or a Service", o.Publish[0].HostPort, len(pods))
	}
	for name := range o.Args {
		if !slices.ContainsFunc(pods, func(p *Pod) bool { return p.container(name) != nil }) {
			return nil, fmt.Errorf("argument for container %q: there is no such container; there are %s", name, containerNames(pods))
		}
	}
	return pods, nil
}

// vacant tells which of several pods there are already: all of them, where a start
// would tell of one.
func (s *Store) vacant(pods []*Pod) error {
	var names []string
	force := ""
	for _, pod := range pods {
		p, err := s.place(pod.Metadata.Name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(p.state); err != nil {
			continue
		}
		names = append(names, p.name)
		if running, err := p.supervised(); err != nil {
			return fmt.Errorf("pod %s: %w", p.name, err)
		} else if running {
			force = "-f "
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: remove what is there (peapod pod rm %s%s), or choose another name in the file",
		ErrExist, strings.Join(names, ", "), force, strings.Join(names, " "))
}

// containerNames lists the containers of all pods for an error.
func containerNames(pods []*Pod) string {
	var names []string
	for _, p := range pods {
		for i := range p.Spec.Containers {
			if name := p.Spec.Containers[i].Name; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

// arguments are those for containers of the pod.
func (p *Pod) arguments(all map[string][]string) map[string][]string {
	own := map[string][]string{}
	for name, args := range all {
		if p.container(name) != nil {
			own[name] = args
		}
	}
	return own
}

// together are the options of each of several pods, whose functions are called by
// one of them at a time.
func (o *Options) together() Options {
	own := *o
	own.Output, own.Event, own.Ready = inTurn(o.Output), inTurn(o.Event), inTurn(o.Ready)
	return own
}

func inTurn[T any](f func(T)) func(T) {
	if f == nil {
		return nil
	}
	var mu sync.Mutex
	return func(x T) {
		mu.Lock()
		defer mu.Unlock()
		f(x)
	}
}

// startTogether starts pods side by side: all of them or none.
func startTogether(ctx context.Context, pods []*readied) ([]*Supervisor, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, errs := make([]*Supervisor, len(pods)), make([]error, len(pods))
	var first error // what the others' errors may only follow from
	var once sync.Once
	var group sync.WaitGroup
	places := make(chan struct{}, startAtOnce)
	for i, r := range pods {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				list[i], errs[i] = r.launch(ctx, r.from)
			}
			if errs[i] != nil {
				once.Do(func() { first = errs[i]; cancel() })
			}
		})
	}
	group.Wait()
	if first == nil {
		return list, nil
	}
	for i, s := range list {
		switch {
		case s == nil:
		case pods[i].from != nil:
			group.Go(func() { s.Stop(0); <-s.done }) // it stays, as it was
		default:
			group.Go(s.abandon)
		}
	}
	group.Wait()
	return nil, first
}

// Supervisors are those of the pods, first of the manifest's Pods, then of its
// Deployments; what was added later comes last.
func (g *Group) Supervisors() (list []*Supervisor) {
	for _, m := range g.members() {
		list = append(list, m.supervisor)
	}
	return list
}

// members are the present ones, each as it is now.
func (g *Group) members() (list []member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.list {
		if m.supervisor != nil {
			list = append(list, *m)
		}
	}
	return list
}

// Names are those of the pods.
func (g *Group) Names() (names []string) {
	for _, m := range g.members() {
		names = append(names, m.name)
	}
	return names
}

// Addrs are the host addresses that are forwarded into the pods.
func (g *Group) Addrs() (addrs []string) {
	for _, s := range g.Supervisors() {
		addrs = append(addrs, s.Addrs()...)
	}
	return addrs
}

// Services are those of the manifest, with the addresses that they have.
func (g *Group) Services() []*ServiceRecord { return g.services.records() }

// Stop ends all pods, as Supervisor.Stop does, and whatever change is being made.
func (g *Group) Stop(grace time.Duration) {
	g.mu.Lock()
	g.grace = &grace
	g.mu.Unlock()
	g.stop()
	for _, s := range g.Supervisors() {
		s.Stop(grace)
	}
}

// GracePeriod is the longest that any of the pods has to end.
func (g *Group) GracePeriod() (longest time.Duration) {
	for _, s := range g.Supervisors() {
		longest = max(longest, s.GracePeriod())
	}
	return longest
}

// Done is closed when all pods have ended and all is cleared up.
func (g *Group) Done() <-chan struct{} { return g.done }

// Wait waits for the end of all pods and returns how they ended.
func (g *Group) Wait() (result GroupResult) {
	<-g.done
	for _, s := range g.Supervisors() {
		if r := s.Wait(); r.Container != "" && result.Pod == "" {
			result = GroupResult{s.place.name, r}
		}
	}
	return result
}
