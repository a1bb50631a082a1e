package pod

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

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

// readied is a pod that is as good as it can be known before anything is made.
type readied struct {
	pod      *Pod
	resolved []*Resolved
	ids      *namespaces.IDMaps
	network  networks.Spec
	options  *Options
}

func ready(p *Pod, o *Options) (r *readied, err error) {
	r = &readied{options: o}
	if r.pod, r.resolved, r.ids, err = prepare(p, o); err != nil {
		return nil, err
	}
	r.network, err = r.pod.chooseNetwork(o.Network)
	return r, err
}

// launch starts the pod, in the place that an earlier one of the name has left,
// where from is not nil.
func (r *readied) launch(ctx context.Context, from *handed) (*Supervisor, error) {
	s := &Supervisor{
		pod: r.pod, options: *r.options, store: r.options.Store, ids: r.ids, network: r.network, from: from,
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

// start makes everything, and takes it back when a part of it fails.
func (s *Supervisor) start(ctx context.Context, resolved []*Resolved) (err error) {
	if err = s.takePlace(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.stop()
			s.kill()
			s.wait()
			s.release(false)
		}
	}()
	made := s.makeNamespaces()
	if s.ids != nil { // volumes in memory are mounted there
		if err = made(); err != nil {
			return err
		}
		made = func() error { return nil }
	}
	err = s.makeRest()
	if err = errors.Join(err, made()); err != nil {
		return err
	}
	if err = s.findServices(); err != nil {
		return err
	}
	if resolved, err = s.attach(ctx, resolved); err != nil {
		return err
	}
	s.ports.open(s.netns)
	if !s.onHost() { // the host has its own way to the services
		if err = s.hub.attach(s, s.netns); err != nil {
			return err
		}
	}

	s.status = PodStatus{Phase: PodPending, StartTime: time.Now().UTC(), Supervisor: SupervisorStatus{
		PID: os.Getpid(), Netns: int(s.netns.Fd()), Log: s.ownLogPath(), Logs: s.place.logs(),
	}}
	s.noteAddresses()
	for _, r := range resolved {
		s.addWorker(r)
	}
	// Others may see the pod a little later than its processes run.
	registered := make(chan error, 1)
	go func() { registered <- s.pod.save(s.place.specFile()) }()
	err = s.startAll(ctx)
	if err = errors.Join(err, <-registered); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Phase = PodRunning
	s.started = true
	if err = s.status.save(s.place.statusFile()); err == nil {
		s.hub.notice(s.place.name)
	}
	return err
}

// makeNamespaces begins to make the namespaces, for which the kernel takes most
// of a millisecond. What it returns waits for them.
func (s *Supervisor) makeNamespaces() (wait func() error) {
	made := make(chan error, 1)
	go func() {
		made <- s.openNamespaces()
	}()
	return func() error { return <-made }
}

func (s *Supervisor) openNamespaces() (err error) {
	if s.set, err = s.pod.namespaces(s.onHost(), s.ids); err != nil {
		return err
	}
	if s.netns = s.set.File(namespaces.Network); s.onHost() {
		s.netns, err = namespaces.Open(namespaces.Network, "/proc/self/ns/net")
	}
	return err
}

// makeRest makes what the containers need beside the namespaces.
func (s *Supervisor) makeRest() (err error) {
	if err := s.makeData(); err != nil {
		return err
	}
	if s.hub, err = s.store.joinHub(); err != nil {
		return err
	}
	if s.ports, err = s.forward(); err != nil {
		return err
	}
	if err := s.makePlace(); err != nil {
		return err
	}
	s.volumes, err = s.makeVolumes()
	return err
}

func (s *Supervisor) log() *slog.Logger { return s.store.log() }

// makeData makes the directory of the pod's data, with the log that all else
// may want to write to. What an earlier pod of the name left there, after a
// crash, is removed first. Nobody but root gets below it: a container that is
// root may leave set-user-id programs in its overlay and its volumes, which any
// user of the host could execute there (CVE-2021-41091).
func (s *Supervisor) makeData() error {
	clear := s.store.clear
	if s.from != nil && s.from.keep {
		clear = s.store.clearRuntime
	}
	if err := clear(context.Background(), s.place); err != nil {
		return err
	}
	if err := s.store.clearNetwork(context.Background(), s.place); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(s.place.data), s.place.data} {
		if err := makePrivate(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.place.logs(), 0o755); err != nil {
		return err
	}
	return s.openOwnLog()
}

// makePlace makes what the containers get from the host.
func (s *Supervisor) makePlace() error {
	for _, r := range s.pod.Spec.Containers {
		if r.Image == BuiltinDemo && s.image == nil {
			var err error
			if s.image, err = s.store.builtinImage(s.options.Builtin); err != nil {
				return err
			}
		}
	}
	if err := s.makeHostsFiles(); err != nil {
		return err
	}
	return s.makeShm()
}

// startAll starts the containers side by side.
func (s *Supervisor) startAll(ctx context.Context) error {
	errs := make([]error, len(s.workers))
	var group sync.WaitGroup
	for i, w := range s.workers {
		group.Go(func() { errs[i] = w.start(ctx) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return s.pod.Errorf(containerPath(i), "%w", err)
		}
	}
	return nil
}

// supervise waits for the pod's end and clears up.
func (s *Supervisor) supervise() {
	defer close(s.done)
	s.wait()
	s.mu.Lock()
	s.ending = true
	giving := s.giving
	s.mu.Unlock()
	if !giving { // otherwise it goes on, with the next supervisor
		s.update(s.finish)
	}
	s.turning.Lock()
	s.over = true
	s.turning.Unlock()
	s.mu.Lock()
	keep := s.options.Keep || giving
	s.mu.Unlock()
	s.release(keep)
}

// finish makes the status that of a pod which has ended. mu is held.
func (s *Supervisor) finish(status *PodStatus) {
	result := s.result()
	now := time.Now().UTC()
	status.FinishTime, status.ExitCode = &now, &result.ExitCode
	status.Phase = PodSucceeded
	if result.Container != "" {
		status.Phase = PodFailed
	}
}

// wait lets each worker, from its first start on, run its container to the
// end, if it has started.
func (s *Supervisor) wait() {
	var group sync.WaitGroup
	for _, w := range s.workers {
		group.Go(w.run)
	}
	group.Wait()
	if s.ports != nil {
		s.ports.close()
	}
}

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

// Status is what became of the pod so far.
func (s *Supervisor) Status() PodStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.ContainerStatuses = append([]ContainerStatus(nil), status.ContainerStatuses...)
	return status
}

// Pod is what is run: the spec with the options applied.
func (s *Supervisor) Pod() *Pod { return s.pod }

// Addrs are the host addresses that are forwarded into the pod, in the order of
// the spec.
func (s *Supervisor) Addrs() []string { return s.ports.addrs() }

// result needs mu.
func (s *Supervisor) result() Result {
	if s.failed != nil {
		return *s.failed
	}
	return Result{}
}

// update changes the status and tells others, once the pod has started.
func (s *Supervisor) update(change func(*PodStatus)) {
	s.turning.Lock()
	defer s.turning.Unlock()
	if s.over {
		return
	}
	for _, r := range s.change(change) {
		r.Pod = s.place.name
		s.options.Ready(r)
	}
}

// change changes the status, writes it, and returns what is to be told.
func (s *Supervisor) change(change func(*PodStatus)) (told []Readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before PodStatus
	if s.options.Ready != nil {
		before = s.status
		before.ContainerStatuses = slices.Clone(before.ContainerStatuses)
	}
	change(&s.status)
	s.status.setConditions()
	select {
	case s.turned <- struct{}{}:
	default:
	}
	if s.options.Ready != nil {
		told = s.status.changes(&before)
	}
	if !s.started {
		return told
	}
	s.saveStatus()
	return told
}

// saveStatus lets others see the status. mu is held.
func (s *Supervisor) saveStatus() {
	if err := s.status.save(s.place.statusFile()); err != nil {
		s.log().Error("the pod's status cannot be written", "error", err)
	}
	s.hub.notice(s.place.name)
}

// fail notes a container that failed for good.
func (s *Supervisor) fail(container string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = &Result{Container: container, ExitCode: code}
	}
}

// release gives back what the pod held. With keep its status, logs and volumes
// stay, until Store.Remove.
func (s *Supervisor) release(keep bool) {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.stop()
	s.kill()
	if s.hub != nil {
		s.hub.detach(s.place.name)
		s.hub.leave()
	}
	ctx := context.Background()
	if err := s.store.freeAddress(s.place, s.loopback); err != nil {
		s.log().Error("the pod's address cannot be given back", "error", err)
	}
	detached := s.detach(ctx)
	if s.set != nil {
		s.set.Close()
	}
	if s.onHost() && s.netns != nil {
		s.netns.Close()
	}
	var err error
	if keep {
		err = s.store.clearRuntime(ctx, s.place)
	} else if err = s.store.clear(ctx, s.place); err == nil {
		err = os.RemoveAll(s.place.state)
	}
	if err = errors.Join(err, detached()); err != nil {
		s.log().Error("the pod cannot be cleared up", "error", err)
	}
	if s.image != nil {
		s.image.close()
		if err := s.store.sweepImages(); err != nil {
			s.log().Error("the image cannot be removed", "error", err)
		}
	}
	if s.ending && s.options.ended != nil {
		s.options.ended()
	}
	if s.giving {
		s.given = &handed{place: s.place, lock: s.lock}
	} else {
		s.lock.Close()
	}
	if s.ownLog != nil {
		s.ownLog.Close()
	}
}
