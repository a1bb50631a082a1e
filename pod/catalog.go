package pod

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peapod/peapod/internal/inotify"
)

// catalog is what all processes of a store have registered, kept current by
// inotify. It looks at pods only once there is a service to lead to them.
type catalog struct {
	store   *Store
	watcher *inotify.Watcher
	changed func(change) // called by one goroutine
	done    chan struct{}

	waking  sync.Mutex // held until all pods are known
	reading sync.Mutex // held while files are read: what is read later is newer

	mu       sync.Mutex
	services map[string]*ServiceRecord
	orphans  map[string]bool            // services whose owner has died, and that pods serve
	pods     map[string]*catalogPod     // nil before they are looked at
	labelled map[string]map[string]bool // names of pods by "key=value"
}

// catalogPod is what services need to know of a pod.
type catalogPod struct {
	// pod has its metadata, its host name, and its ports.
	pod   *Pod
	state podState
}

// podState is what may change of a pod in a catalog.
type podState struct {
	supervisor int   // its process
	started    int64 // when the pod was, in nanoseconds since 1970: one process may run it twice
	netns      int   // descriptor of the pod's network namespace there
	ready      bool
	ending     bool // is being stopped, or has ended
	ip         string
	loopback   string // of podRange, where there is no ip
}

// same tells whether it is the same run of the pod.
func (s podState) same(as podState) bool {
	return s.supervisor == as.supervisor && s.started == as.started && s.netns == as.netns
}

// change says what is to be looked at again.
type change struct {
	services []string
	pods     []string
	all      bool
}

func (c change) empty() bool { return !c.all && len(c.services)+len(c.pods) == 0 }

// openCatalog begins to follow a store. changed is told of what was not there
// when openCatalog returned.
func (s *Store) openCatalog(changed func(change)) (*catalog, error) {
	if err := makePrivate(s.servicesDir()); err != nil {
		return nil, err
	}
	if err := makePrivate(s.podsDir()); err != nil {
		return nil, err
	}
	c := &catalog{store: s, changed: changed, done: make(chan struct{}), services: map[string]*ServiceRecord{}, orphans: map[string]bool{}}
	var err error
	if c.watcher, err = inotify.Watch(s.servicesDir()); err != nil {
		return nil, err
	}
	c.readAll()
	go c.follow()
	return c, nil
}

func (s *Store) podsDir() string { return filepath.Join(s.root(), "pods") }

func (c *catalog) close() {
	c.watcher.Close()
	<-c.done
}

func (c *catalog) follow() {
	defer close(c.done)
	for {
		list, err := c.watcher.Next()
		if errors.Is(err, fs.ErrClosed) {
			return
		}
		if err != nil {
			c.store.log().Error("changes of services are not seen any more", "error", err)
			return
		}
		if what := c.read(list); !what.empty() {
			c.changed(what)
		}
	}
}

// read brings the catalog up to date and tells what has changed in it.
func (c *catalog) read(list []inotify.Change) (what change) {
	// A name is looked at once; true where its lock's file was closed.
	services, pods := map[string]bool{}, map[string]bool{}
	for _, e := range list {
		switch {
		case hidden(e.Entry):
		case e.Entry == "":
			c.readAll()
			return change{all: true}
		case e.Dir == c.store.servicesDir():
			services[e.Entry] = services[e.Entry] || e.File == "lock"
		case e.File == "" || e.File == "status.json" || e.File == "pod.json" || e.File == "lock":
			pods[e.Entry] = pods[e.Entry] || e.File == "lock"
		}
	}
	for name, closed := range services {
		if closed {
			c.store.servicePlace(name).settle()
		}
		if c.readService(name) {
			what.services = append(what.services, name)
		}
	}
	if len(what.services) > 0 && c.watchPods() {
		what.all = true
	}
	for name, closed := range pods {
		if p, err := c.store.place(name); err == nil && closed {
			p.settle()
		}
		if c.readPod(name) {
			what.pods = append(what.pods, name)
		}
	}
	return what
}

// settle waits a moment for a lock whose file was closed: the event comes
// before the lock is free.
func (p place) settle() {
	for pause := 20 * time.Microsecond; pause < 2*time.Millisecond; pause *= 2 {
		if running, err := p.supervised(); err != nil || !running {
			return
		}
		time.Sleep(pause)
	}
}

// readAll reads all anew, at the beginning and after events were lost.
func (c *catalog) readAll() {
	list, err := c.store.ListServices()
	if err != nil {
		c.store.log().Error("services cannot be listed", "error", err)
		return
	}
	c.mu.Lock()
	clear(c.services)
	for _, r := range list {
		c.services[r.Service.Metadata.Name] = r
	}
	c.mu.Unlock()
	if c.watchPods() {
		return
	}
	entries, _ := os.ReadDir(c.store.podsDir())
	present := map[string]bool{}
	for _, e := range entries {
		present[e.Name()] = true
	}
	for name := range c.pods {
		present[name] = true
	}
	for name := range present {
		c.readPod(name)
	}
}

// readService tells whether a service has changed: by being registered anew, or by its owner.
func (c *catalog) readService(name string) bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	r, err := c.store.serviceRecord(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.store.log().Warn("a service's state cannot be read", "service", name, "error", err)
	}
	if r == nil && c.orphaned(name) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.services[name]
	delete(c.orphans, name)
	switch {
	case r == nil && old == nil:
		return false
	case r == nil:
		delete(c.services, name)
		return true
	case old != nil && old.PID == r.PID && old.Created.Equal(r.Created) && old.Changed.Equal(r.Changed):
		return false
	}
	c.services[name] = r
	return true
}

// watchPods begins to look at pods, when there is a first service. It reports
// whether it has begun.
func (c *catalog) watchPods() bool {
	c.waking.Lock()
	defer c.waking.Unlock()
	c.mu.Lock()
	begin := c.pods == nil && len(c.services) > 0
	if begin {
		c.pods, c.labelled = map[string]*catalogPod{}, map[string]map[string]bool{}
	}
	c.mu.Unlock()
	if !begin {
		return false
	}
	if err := c.watcher.Add(c.store.podsDir()); err != nil {
		c.store.log().Error("changes of pods are not seen", "error", err)
	}
	entries, _ := os.ReadDir(c.store.podsDir())
	for _, e := range entries {
		c.readPod(e.Name())
	}
	return true
}

// readPod tells whether a pod has changed in what services need to know of it.
func (c *catalog) readPod(name string) bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.Lock()
	asleep := c.pods == nil
	c.mu.Unlock()
	if asleep {
		return false
	}
	r, err := c.store.Get(name)
	if err != nil && !errors.Is(err, ErrNotExist) {
		c.store.log().Warn("a pod's state cannot be read", "pod", name, "error", err)
	}
	if err == nil && (r.Status.finished() || len(r.Pod.Spec.Containers) == 0) {
		err = ErrNotExist // has ended, or is only beginning
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.pods[name]
	if err != nil {
		c.forget(name)
		return old != nil
	}
	state := r.Status.forServices()
	if old != nil && old.state == state {
		return false
	}
	c.forget(name)
	c.pods[name] = &catalogPod{pod: r.Pod.forServices(), state: state}
	for key, value := range r.Pod.Metadata.Labels {
		label := key + "=" + value
		if c.labelled[label] == nil {
			c.labelled[label] = map[string]bool{}
		}
		c.labelled[label][name] = true
	}
	return true
}

// forget takes a pod out. mu is held.
func (c *catalog) forget(name string) {
	old := c.pods[name]
	if old == nil {
		return
	}
	delete(c.pods, name)
	for key, value := range old.pod.Metadata.Labels {
		label := key + "=" + value
		if delete(c.labelled[label], name); len(c.labelled[label]) == 0 {
			delete(c.labelled, label)
		}
	}
}

// forServices is what services need of a pod's spec.
func (p *Pod) forServices() *Pod {
	slim := &Pod{Metadata: p.Metadata}
	slim.Metadata.Annotations = nil
	slim.Spec.Hostname, slim.Spec.Subdomain = p.Hostname(), p.Spec.Subdomain
	for _, c := range p.Spec.Containers {
		slim.Spec.Containers = append(slim.Spec.Containers, Container{Name: c.Name, Ports: c.Ports})
	}
	return slim
}

// forServices is what services need of a pod's status.
func (s *PodStatus) forServices() podState {
	ready := s.Phase == PodRunning && len(s.ContainerStatuses) > 0
	for _, c := range s.ContainerStatuses {
		ready = ready && c.Ready
	}
	return podState{supervisor: s.Supervisor.PID, started: s.StartTime.UnixNano(), netns: s.Supervisor.Netns, ready: ready, ending: s.DeletionTimestamp != nil, ip: s.PodIP, loopback: s.LoopbackIP}
}

// selected returns the pods that a service leads to, sorted by name.
func (c *catalog) selected(s *Service) (list []*catalogPod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, value := range s.Spec.Selector {
		for name := range c.labelled[key+"="+value] {
			if p := c.pods[name]; s.Selects(p.pod) {
				list = append(list, p)
			}
		}
		break // any of the labels will do to begin with
	}
	slices.SortFunc(list, func(a, b *catalogPod) int { return strings.Compare(a.pod.Metadata.Name, b.pod.Metadata.Name) })
	return list
}

// service returns a service, nil where there is none; all returns all of them.
func (c *catalog) service(name string) *ServiceRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.services[name]
}

func (c *catalog) all() []*ServiceRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.services), func(a, b *ServiceRecord) int {
		return strings.Compare(a.Service.Metadata.Name, b.Service.Metadata.Name)
	})
}

// leading returns the names of the services that lead to a pod, or may have.
func (c *catalog) leading(pods []string) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range c.services {
		if slices.ContainsFunc(pods, func(pod string) bool {
			p := c.pods[pod]
			return p == nil || r.Service.Selects(p.pod)
		}) {
			names = append(names, name)
		}
	}
	return names
}

// has tells whether a pod is there that is supervised as state says.
func (c *catalog) has(name string, state podState) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pods[name]
	return p != nil && p.state.same(state)
}
