package pod

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// probeOften makes the delays and periods of probes short; not their timeouts.
func probeOften(t testing.TB) {
	old := probeSecond
	probeSecond = 10 * time.Millisecond
	t.Cleanup(func() { probeSecond = old })
}

// need is a probe that wants a file in the shared volume.
func need(file string) *Probe {
	return &Probe{Exec: &ExecAction{Command: []string{"probe", "need", "/shared/" + file}}, PeriodSeconds: 1}
}

// put writes a file into the shared volume of a pod that runs, take removes it.
func put(t testing.TB, sup *Supervisor, file, text string) {
	t.Helper()
	path := filepath.Join(sup.place.volumes(), "shared", file)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func take(t testing.TB, sup *Supervisor, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(sup.place.volumes(), "shared", file)); err != nil {
		t.Fatal(err)
	}
}

// counting is a probe that succeeds and tells by a file how often it was asked:
// a clock that goes as the other probes do.
func counting() *Probe {
	return &Probe{Exec: &ExecAction{Command: []string{"probe", "count", "/shared/asked"}}, PeriodSeconds: 1}
}

// awaitPeriods waits until n more probes were answered.
func awaitPeriods(t testing.TB, sup *Supervisor, n int64) {
	t.Helper()
	asked := func() int64 {
		info, err := os.Stat(filepath.Join(sup.place.volumes(), "shared", "asked"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	begin := asked()
	testkit.Eventually(t, "more probes", func() bool { return asked() >= begin+n })
}

// told collects changes of readiness.
type told struct {
	mu   sync.Mutex
	list []string
}

func (l *told) add(r Readiness) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf("%s %v %v %s", r.Container, r.Ready, r.PodReady, r.Message))
}

func (l *told) await(t testing.TB, want ...string) {
	t.Helper()
	testkit.Until(t, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !slices.Equal(l.list, want) {
			return fmt.Sprintf("told\n %s\nwant\n %s", strings.Join(l.list, "\n "), strings.Join(want, "\n "))
		}
		return ""
	})
}

// conditions are those that other processes see.
func (s *stage) conditions(name string) string {
	r, err := s.store.Get(name)
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, c := range r.Status.Conditions {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s=%s %s %s", c.Type, c.Status, c.Reason, c.Message)))
	}
	return strings.Join(list, " | ")
}

func (s *stage) awaitConditions(name, want string) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		if got := s.conditions(name); got != want {
			return "conditions " + got + "\nwant " + want
		}
		return ""
	})
}

// A container is ready when its probe says so. The probe's requests are made in
// the pod: nobody asks the host's server at the same address.
func TestReadinessProbe(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			t.Error("the probe asks the host")
			c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	p := shared(s.pod(box("web", fmt.Sprintf("web 127.0.0.1:%d /shared/status; hold", port)), box("b", "hold")))
	p.Spec.Containers[0].Ports = []Port{{Name: "http", ContainerPort: port}}
	p.Spec.Containers[0].ReadinessProbe = &Probe{HTTPGet: &HTTPGetAction{Port: PortRef{Name: "http"}}, PeriodSeconds: 1, FailureThreshold: 2}
	p.Spec.Containers[0].StartupProbe = &Probe{TCPSocket: &TCPSocketAction{Port: PortRef{Number: port}}, PeriodSeconds: 1, FailureThreshold: 1000}
	p.SetDefaults()
	var told told
	sup, out := s.start(p, func(o *Options) {
		o.Ready = func(r Readiness) {
			if r.Container != "b" { // which may start before or after
				told.add(r)
			}
		}
	})
	out.await("web: serving", 1)
	name := p.Metadata.Name
	found := fmt.Sprintf("readiness probe: GET http://127.0.0.1:%d/: status 503", port)
	s.awaitConditions(name, "ContainersReady=False ContainersNotReady web: "+found+" | Ready=False ContainersNotReady web: "+found)
	put(t, sup, "status", "200")
	s.awaitConditions(name, "ContainersReady=True | Ready=True")
	status, _ := s.store.Get(name)
	since := status.Status.Conditions[1].LastTransitionTime
	if c := status.Status.ContainerStatuses[0]; !c.Ready || !c.Started || since.IsZero() {
		t.Errorf("%+v", status.Status)
	}
	put(t, sup, "status", "500")
	found500 := strings.Replace(found, "status 503", "status 500", 1)
	s.awaitConditions(name, "ContainersReady=False ContainersNotReady web: "+found500+" | Ready=False ContainersNotReady web: "+found500)
	told.await(t, "web false false "+found, "web true true ", "web false false "+found500)
	put(t, sup, "status", "302")
	s.awaitConditions(name, "ContainersReady=True | Ready=True")
	sup.Stop(time.Minute)
	s.finish(sup)
	if c := sup.Status().ContainerStatuses[0]; c.Ready || c.RestartCount != 0 {
		t.Errorf("%+v: a readiness probe ends no container", c)
	}
}

// The status is written when something changes, not with each answer.
func TestProbeWritesChangesOnly(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	p := shared(s.pod(box("a", "hold")))
	p.Spec.Containers[0].ReadinessProbe = need("up")
	p.Spec.Containers[0].LivenessProbe = counting()
	p.SetDefaults()
	sup, _ := s.start(p)
	put(t, sup, "up", "")
	s.awaitConditions(p.Metadata.Name, "ContainersReady=True | Ready=True")
	before, err := os.Stat(sup.place.statusFile())
	if err != nil {
		t.Fatal(err)
	}
	awaitPeriods(t, sup, 10)
	if after, err := os.Stat(sup.place.statusFile()); err != nil || !os.SameFile(before, after) {
		t.Errorf("the status was written again without a change: %v", err)
	}
}

// A liveness probe that fails ends the container, and the pod's policy starts it
// again, even where it then ends with status 0 and the policy is OnFailure.
func TestLivenessProbe(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	quickly(t)
	p := shared(s.pod(box("a", "count /shared/n; hold")))
	p.Spec.RestartPolicy = RestartOnFailure
	p.Spec.Containers[0].LivenessProbe = need("alive")
	p.Spec.Containers[0].LivenessProbe.InitialDelaySeconds = 20
	p.Spec.Containers[0].ReadinessProbe = counting()
	p.SetDefaults()
	var mu sync.Mutex
	var events []Event
	sup, out := s.start(p, func(o *Options) {
		o.Event = func(e Event) { mu.Lock(); events = append(events, e); mu.Unlock() }
	})
	put(t, sup, "alive", "")
	out.await("a: ready", 1)
	awaitPeriods(t, sup, 20)
	if c := sup.Status().ContainerStatuses[0]; c.RestartCount != 0 {
		t.Errorf("it was started again while it was well: %+v", c)
	}
	take(t, sup, "alive")
	out.await("a: start 2", 1)
	put(t, sup, "alive", "")
	const why = "liveness probe failed 3 times: exec \"probe\": exit status 1: /shared/alive is missing"
	testkit.Until(t, func() string {
		c := sup.Status().ContainerStatuses[0]
		if end := c.LastState.Terminated; end == nil || end.Reason != ReasonUnhealthy || end.Message != why || end.ExitCode != 0 || c.RestartCount != 1 {
			return fmt.Sprintf("%+v %+v", c, c.LastState.Terminated)
		}
		return ""
	})
	mu.Lock()
	defer mu.Unlock()
	if len(events) != 1 || !events[0].Again || events[0].Terminated.Message != why {
		t.Errorf("events %+v", events)
	}
	s.same(out.all()[:4], []string{"a: start 1", "a: ready", "a: terminated", "a: start 2"})
}

// What does not heed SIGTERM is killed after the probe's own grace period, not
// the pod's; with the policy Never it stays ended.
func TestLivenessProbeKills(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	p := shared(s.pod(box("a", "stubborn")))
	p.Spec.Containers[0].StartupProbe = need("up")
	p.Spec.Containers[0].StartupProbe.FailureThreshold = 1000
	p.Spec.TerminationGracePeriodSeconds = new(int64(3600))
	p.Spec.Containers[0].LivenessProbe = &Probe{TCPSocket: &TCPSocketAction{Port: PortRef{Number: 9}}, FailureThreshold: 1, TerminationGracePeriodSeconds: new(int64(1))}
	p.SetDefaults()
	sup, out := s.start(p)
	out.await("a: ready", 1)
	begin := time.Now()
	put(t, sup, "up", "")
	result := s.finish(sup)
	if took := time.Since(begin); result != (Result{"a", 137}) || took < time.Second || took > 15*time.Second {
		t.Errorf("%+v after %v", result, took)
	}
}

// The other probes wait for the startup probe.
func TestStartupProbe(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	quickly(t)
	p := shared(s.pod(box("a", "count /shared/n; hold"), box("b", "hold"), box("clock", "hold")))
	p.Spec.Containers[2].ReadinessProbe = counting()
	c := &p.Spec.Containers[0]
	c.StartupProbe, c.LivenessProbe, c.ReadinessProbe = need("up"), need("alive"), need("n")
	c.StartupProbe.FailureThreshold = 1000
	p.Spec.Containers[1].StartupProbe = need("up")
	p.Spec.Containers[1].StartupProbe.FailureThreshold = 1000
	p.Spec.RestartPolicy = RestartAlways
	p.SetDefaults()
	sup, out := s.start(p)
	out.await("a: ready", 1)
	name := p.Metadata.Name
	const waits = "ContainersNotReady a: its startup probe has not succeeded yet; b: its startup probe has not succeeded yet"
	awaitPeriods(t, sup, 20) // the liveness probe would have failed
	s.awaitConditions(name, "ContainersReady=False "+waits+" | Ready=False "+waits)
	if c := sup.Status().ContainerStatuses[0]; c.RestartCount != 0 || c.Started || c.Ready {
		t.Errorf("it is probed before it has started: %+v", c)
	}
	put(t, sup, "alive", "")
	put(t, sup, "up", "")
	s.awaitConditions(name, "ContainersReady=True | Ready=True")
	take(t, sup, "up") // nobody asks any more
	take(t, sup, "alive")
	out.await("a: start 2", 1)
	testkit.Until(t, func() string {
		if c := sup.Status().ContainerStatuses[0]; c.Started || c.Ready || c.RestartCount == 0 {
			return fmt.Sprintf("after the restart: %+v", c)
		}
		return ""
	})
	if c := sup.Status().ContainerStatuses[1]; !c.Started || !c.Ready || c.RestartCount != 0 {
		t.Errorf("b: %+v", c)
	}
}

func TestStartupProbeFails(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	p := shared(s.pod(box("a", "hold; exit 7")))
	p.Spec.Containers[0].StartupProbe = &Probe{Exec: &ExecAction{Command: []string{"nothing"}}, PeriodSeconds: 1, FailureThreshold: 2}
	p.SetDefaults()
	sup, _ := s.start(p)
	if result := s.finish(sup); result != (Result{"a", 7}) {
		t.Errorf("%+v", result)
	}
	end := sup.Status().ContainerStatuses[0].State.Terminated
	if end.Reason != ReasonUnhealthy || !strings.HasPrefix(end.Message, `startup probe failed 2 times: exec "nothing"`) {
		t.Errorf("%+v", end)
	}
}

// A command that does not end in time is killed, with its children, and the
// container goes on without a trace of it.
func TestExecProbeTimeout(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	p := s.pod(box("a", "hold"))
	p.Spec.Containers[0].ReadinessProbe = &Probe{
		Exec: &ExecAction{Command: []string{"probe", "child", ";", "stubborn"}}, FailureThreshold: 1, PeriodSeconds: 1000,
	}
	p.SetDefaults()
	sup, _ := s.start(p)
	c, err := s.store.Container(p.Metadata.Name, "a")
	if err != nil {
		t.Fatal(err)
	}
	processes := func() int {
		pids, err := c.Pids()
		if err != nil {
			t.Fatal(err)
		}
		return len(pids)
	}
	testkit.Eventually(t, "the probe's two processes", func() bool { return processes() == 3 })
	const why = `a: readiness probe: exec "probe": no answer within 1s`
	s.awaitConditions(p.Metadata.Name, "ContainersReady=False ContainersNotReady "+why+" | Ready=False ContainersNotReady "+why)
	testkit.Until(t, func() string {
		if n := processes(); n != 1 {
			return fmt.Sprintf("%d processes in the container", n)
		}
		return ""
	})
	sup.Stop(time.Minute)
	s.finish(sup)
}

// A pod ends at once, whatever is being asked.
func TestStopWhileProbing(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	p := s.pod(box("a", "listen 127.0.0.1:80 x; hold"))
	c := &p.Spec.Containers[0]
	slow := func() *Probe {
		return &Probe{Exec: &ExecAction{Command: []string{"probe", "child", ";", "stubborn"}}, TimeoutSeconds: 3600}
	}
	c.LivenessProbe, c.ReadinessProbe = slow(), slow()
	p.SetDefaults()
	for i := range 3 {
		p.Metadata.Name = fmt.Sprintf("%s-%d", s.pods[0], i)
		s.pods = append(s.pods, p.Metadata.Name)
		var told told
		sup, out := s.start(p, func(o *Options) { o.Ready = told.add })
		out.await("a: ready", 1)
		time.Sleep(time.Duration(i*30) * time.Millisecond)
		begin := time.Now()
		sup.Stop(time.Minute)
		s.finish(sup)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v to stop", took)
		}
	}
}

// A pod that is being stopped is not ready, although its containers are.
func TestStoppingIsNotReady(t *testing.T) {
	s := newStage(t)
	var told told
	sup, out := s.start(s.pod(box("a", "stubborn")), func(o *Options) { o.Ready = told.add })
	out.await("a: ready", 1)
	told.await(t, "a true true ")
	sup.Stop(300 * time.Millisecond)
	s.awaitConditions(sup.Pod().Metadata.Name, "ContainersReady=True | Ready=False PodStopping")
	s.finish(sup)
	told.await(t, "a true true ", " false false ", "a false false ")
}

// A pod without a network of its own is probed in the host's.
func TestProbeOnHost(t *testing.T) {
	s := newStage(t)
	probeOften(t)
	port := freePort(t)
	p := s.pod(box("a", fmt.Sprintf("listen 127.0.0.1:%d x; hold", port)))
	p.Spec.HostNetwork = true
	p.Spec.Containers[0].ReadinessProbe = &Probe{TCPSocket: &TCPSocketAction{Port: PortRef{Number: port}}, PeriodSeconds: 1}
	p.SetDefaults()
	sup, _ := s.start(p)
	s.awaitConditions(p.Metadata.Name, "ContainersReady=True | Ready=True")
	sup.Stop(time.Minute)
	s.finish(sup)
}
