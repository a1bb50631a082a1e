package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Group are the pods of a manifest, all supervised by the calling process. Each
// is registered by itself, and can be looked at, stopped and removed by itself.
type Group struct {
	list     []*Supervisor
	services *served // or nil
	done     chan struct{}
	stop     context.CancelFunc // of the watching
	watching sync.WaitGroup
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
func StartManifest(ctx context.Context, m *Manifest, o *Options) (*Group, error) {
	if o == nil {
		o = &Options{}
	}
	pods, err := m.runnable(o)
	if err != nil {
		return nil, err
	}
	options := o.together(len(pods))
	list := make([]*readied, len(pods))
	var errs []error
	for i, p := range pods {
		own := options
		own.Args = p.arguments(o.Args)
		if list[i], err = ready(p, &own); err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
			errs = append(errs, err) // that of a Deployment once
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if options.grouped {
		if err := o.Store.vacant(pods); err != nil {
			return nil, err
		}
	}
	g := &Group{done: make(chan struct{})}
	if g.services, err = o.Store.serve(m.Services, m.Endpoints); err != nil {
		return nil, err
	}
	if g.list, err = startTogether(ctx, list); err != nil {
		g.services.end()
		return nil, err
	}
	if err := g.watch(); err != nil {
		g.abandon()
		g.services.end()
		return nil, err
	}
	go g.follow()
	return g, nil
}

// runnable are the pods of a manifest that can be run with the options.
func (m *Manifest) runnable(o *Options) ([]*Pod, error) {
	if err := m.Validate(); err != nil {
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

// together are the options of each of so many pods, whose functions are called
// by one of them at a time.
func (o *Options) together(pods int) Options {
	own := *o
	own.grouped = pods > 1
	if !own.grouped {
		return own
	}
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
				list[i], errs[i] = r.launch(ctx)
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
	for _, s := range list {
		if s != nil {
			group.Go(s.abandon)
		}
	}
	group.Wait()
	return nil, first
}

// abandon ends all pods at once, of which nothing is to be left.
func (g *Group) abandon() {
	var group sync.WaitGroup
	for _, s := range g.list {
		group.Go(s.abandon)
	}
	group.Wait()
}

// follow waits for the end of all pods.
func (g *Group) follow() {
	for _, s := range g.list {
		<-s.Done()
	}
	g.stop()
	g.watching.Wait()
	g.services.end()
	close(g.done)
}

// Supervisors are those of the pods, first of the manifest's Pods, then of its
// Deployments.
func (g *Group) Supervisors() []*Supervisor { return slices.Clone(g.list) }

// Names are those of the pods.
func (g *Group) Names() (names []string) {
	for _, s := range g.list {
		names = append(names, s.place.name)
	}
	return names
}

// Addrs are the host addresses that are forwarded into the pods.
func (g *Group) Addrs() (addrs []string) {
	for _, s := range g.list {
		addrs = append(addrs, s.Addrs()...)
	}
	return addrs
}

// Services are those of the manifest, with the addresses that they have.
func (g *Group) Services() []*ServiceRecord {
	if g.services == nil {
		return nil
	}
	return slices.Clone(g.services.registration.records)
}

// Stop ends all pods, as Supervisor.Stop does.
func (g *Group) Stop(grace time.Duration) {
	for _, s := range g.list {
		s.Stop(grace)
	}
}

// GracePeriod is the longest that any of the pods has to end.
func (g *Group) GracePeriod() (longest time.Duration) {
	for _, s := range g.list {
		longest = max(longest, s.GracePeriod())
	}
	return longest
}

// Done is closed when all pods have ended and all is cleared up.
func (g *Group) Done() <-chan struct{} { return g.done }

// Wait waits for the end of all pods and returns how they ended.
func (g *Group) Wait() (result GroupResult) {
	<-g.done
	for _, s := range g.list {
		if r := s.Wait(); r.Container != "" && result.Pod == "" {
			result = GroupResult{s.place.name, r}
		}
	}
	return result
}

// watch begins to wait for requests to stop single pods. A group of one gets
// them by signals.
func (g *Group) watch() error {
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	if len(g.list) == 1 {
		return nil
	}
	w, err := watch(ctx)
	for i := 0; i < len(g.list) && err == nil; i++ {
		// One that is not there has ended already.
		if err = w.add(g.list[i].place.state); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		stop()
		if w != nil {
			w.close()
		}
		return err
	}
	g.watching.Go(func() {
		defer w.close()
		seen := make([]os.FileInfo, len(g.list))
		for {
			for i, s := range g.list {
				seen[i] = s.heed(seen[i])
			}
			if w.wait(24*time.Hour) != nil {
				return
			}
		}
	})
	return nil
}

// heed stops the pod when there is a request that was not seen before.
func (s *Supervisor) heed(seen os.FileInfo) os.FileInfo {
	info, err := os.Stat(s.place.stopFile())
	if err != nil || seen != nil && os.SameFile(seen, info) && seen.ModTime().Equal(info.ModTime()) {
		return seen
	}
	s.Stop(-1)
	return info
}
