package pod

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// Supervisor runs one pod: it holds the namespaces that its containers share,
// starts them, restarts them as the spec says, keeps their logs and forwards
// their host ports. It makes no wake-ups while nothing happens.
type Supervisor struct {
	pod     *Pod
	options Options
	store   Store
	place   place
	lock    *os.File
	ids     *namespaces.IDMaps // of the pod's user namespace; nil for root's
	home    *cgroups.Home      // of the pod's cgroup, or nil; root has but one
	group   *cgroups.Group     // that was made there, or nil
	set     *namespaces.Set
	netns   *os.File // the pod's network namespace, or the host's
	network networks.Spec
	// attached is the pod's network; nil before it has one.
	attached *networks.Attachment
	hub      *hub       // or nil
	hosts    string     // what /etc/hosts begins with
	loopback netip.Addr // of podRange, where the pod has no other address
	ports    *forwarding
	volumes  map[string]string
	workers  []*worker
	image    *builtinImage // or nil
	ownLog   *os.File      // or nil
	from     *handed       // what an earlier supervisor of the pod has left, or nil

	stopping context.Context // ends when the pod is to stop
	stop     context.CancelFunc
	killing  context.Context // ends when its containers have had their time
	kill     context.CancelFunc
	done     chan struct{}

	writing sync.Mutex    // held while Output is called
	telling sync.Mutex    // held while Event is called
	turning sync.Mutex    // held while the status changes and Ready is called; above mu
	over    bool          // nothing changes any more; needs turning
	turned  chan struct{} // has an element after a change of the status

	mu      sync.Mutex
	status  PodStatus
	started bool        // its status is written when it changes
	timer   *time.Timer // of the grace period
	failed  *Result     // the first container that failed
	ending  bool        // its containers have ended for good
	giving  bool        // its place is for the next supervisor
	given   *handed     // the place, once done is closed; nil where it was given up before
}

// Start starts a pod and returns once all of its containers run. The pod goes
// on until its containers have ended for good or Stop is called. The error
// tells what kept it from starting; then nothing is left of it.
//
// ctx concerns the start only.
func Start(ctx context.Context, p *Pod, o *Options) (*Supervisor, error) {
	if o == nil {
		o = &Options{}
	}
	r, err := ready(p, o)
	if err != nil {
		return nil, err
	}
	return r.launch(ctx, nil)
}

// launch starts the pod, in the place that an earlier one of the name has left,
// where from is not nil.
func (r *readied) launch(ctx context.Context, from *handed) (*Supervisor, error) {
	s := &Supervisor{
		pod: r.pod, options: *r.options, store: r.options.Store, ids: r.ids, home: r.home, network: r.network, from: from,
		done: make(chan struct{}), turned: make(chan struct{}, 1),
	}
	s.killing, s.kill = context.WithCancel(context.WithoutCancel(ctx))
	s.stopping, s.stop = context.WithCancel(s.killing)
	if err := s.start(ctx, r.resolved); err != nil {
		return nil, err
	}
	go s.supervise()
	return s, nil
}

func (s *Supervisor) log() *slog.Logger { return s.store.log() }

// Stop ends the pod: its containers get SIGTERM, and SIGKILL after grace, or
// GracePeriod when that is negative; so a process should do that gets SIGTERM,
// which is how Store.Stop asks for it. Stop returns at once; a further call with
// a shorter grace is heeded.
func (s *Supervisor) Stop(grace time.Duration) {
	if grace < 0 {
		grace = s.GracePeriod()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killing.Err() != nil {
		return // it has ended, or is about to
	}
	first := s.timer == nil
	if first {
		s.leaveServices()
	} else {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(grace, s.kill)
	if s.ports != nil {
		go s.ports.drain(grace)
	}
	if first && grace > noticeTime && s.hub.leads(s.place.name) {
		time.AfterFunc(noticeTime, s.stop)
	} else {
		s.stop()
	}
	// It is ready no more. The caller may be one who is told of that.
	go s.update(func(*PodStatus) {})
}

// noticeTime is how long containers go on before they are told to end, where
// services lead to the pod: until all know that it is leaving, and what was
// about to be accepted has been. Without it these connections would be reset.
const noticeTime = 100 * time.Millisecond

// leaveServices lets services lead no more connections to the pod. mu is held.
func (s *Supervisor) leaveServices() {
	now := time.Now().UTC()
	s.status.DeletionTimestamp = &now
	if s.started {
		s.saveStatus()
	}
}

// abandon ends a pod at once, of which nothing is to be left.
func (s *Supervisor) abandon() {
	s.mu.Lock()
	s.options.Keep = false
	s.mu.Unlock()
	s.Stop(0)
	<-s.done
}

// Wait waits for the pod's end and returns how it ended.
func (s *Supervisor) Wait() Result {
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result()
}

// Done is closed when the pod has ended and all is cleared up.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Pod is what is run: the spec with the options applied.
func (s *Supervisor) Pod() *Pod { return s.pod }

// Addrs are the host addresses that are forwarded into the pod, in the order of
// the spec.
func (s *Supervisor) Addrs() []string { return s.ports.addrs() }
