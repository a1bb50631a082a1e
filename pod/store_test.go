package pod

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/runtime"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "a-b", "0", strings.Repeat("a", 63)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "/", "A", "a_b", "-a", "a-", "a.b", "a\x00", "a b", "ä", "../x", strings.Repeat("a", 64)} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
		s := Store{Root: t.TempDir()}
		if _, err := s.Get(name); err == nil || errors.Is(err, ErrNotExist) {
			t.Errorf("Get %q: %v", name, err)
		}
		if err := s.Remove(t.Context(), name, true); err == nil {
			t.Errorf("Remove %q", name)
		}
	}
}

func TestEmptyStore(t *testing.T) {
	s := Store{Root: filepath.Join(t.TempDir(), "run"), Data: filepath.Join(t.TempDir(), "data")}
	if list, err := s.List(); len(list) != 0 || err != nil {
		t.Error(list, err)
	}
	for what, err := range map[string]error{
		"Get":       second(s.Get("p")),
		"Stop":      s.Stop(t.Context(), "p", 0),
		"Wait":      second(s.Wait(t.Context(), "p")),
		"Remove":    s.Remove(t.Context(), "p", false),
		"Logs":      s.Logs(t.Context(), "p", LogOptions{}, nil),
		"Container": second(s.Container("p", "")),
	} {
		if !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", what, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := s.Remove(t.Context(), "p", true); err != nil {
			t.Errorf("a forced removal of nothing: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What is in the state directory may be broken; the others are listed.
func TestListBroken(t *testing.T) {
	s := Store{Root: t.TempDir()}
	for name, status := range map[string]string{
		"good": `{"phase": "Succeeded", "exitCode": 0, "startTime": "2024-01-01T00:00:00Z", "containerStatuses": []}`, "broken": `{"phase": `, "lost": `{"phase": "Running", "startTime": "2024-01-01T00:00:00Z", "containerStatuses": [{"name": "a", "pid": 7, "ready": true, "state": {"running": {}}}]}`,
	} {
		p, err := s.place(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(p.state, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.statusFile(), []byte(status), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Root, "pods", "Stray"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range list {
		names = append(names, r.Pod.Metadata.Name)
	}
	if !slices.Equal(names, []string{"good", "lost"}) {
		t.Fatalf("list %q", names)
	}
	lost := list[1].Status
	if lost.Phase != PodFailed || lost.Reason != ReasonLost || lost.ExitCode == nil || *lost.ExitCode == 0 {
		t.Errorf("a pod without supervisor: %+v", lost)
	}
	if c := lost.ContainerStatuses[0]; c.PID != 0 || c.Ready || c.State.Running != nil || c.State.Terminated == nil {
		t.Errorf("its container: %+v", c)
	}
	if text, err := json.Marshal(lost); err != nil || strings.Contains(string(text), "0001-01-01") {
		t.Errorf("times that nobody knows are told: %s %v", text, err)
	}
	if _, err := s.Get("broken"); err == nil {
		t.Error("the broken one is found")
	}
}

func TestStore(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "hold"), box("b", "hold"))
	p.Metadata.Labels = map[string]string{"app": "test"}
	sup, out := s.start(p)
	out.await("a: ready", 1)
	out.await("b: ready", 1)
	name := p.Metadata.Name

	r, err := s.store.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	if r.Pod.Metadata.Labels["app"] != "test" || r.Status.Phase != PodRunning || r.Status.Supervisor.PID != os.Getpid() || len(r.Status.ContainerStatuses) != 2 {
		t.Errorf("record %+v %+v", r.Pod, r.Status)
	}
	c := r.Status.ContainerStatuses[1]
	if c.Name != "b" || c.PID == 0 || !c.Ready || c.State.Running == nil || c.RestartCount != 0 || c.Image != "image" || c.ImageID != s.image {
		t.Errorf("container %+v", c)
	}
	if list, err := s.store.List(); err != nil || len(list) != 1 || list[0].Pod.Metadata.Name != name {
		t.Errorf("list %v %v", list, err)
	}
	if _, err := s.store.Container(name, "c"); err == nil || !strings.Contains(err.Error(), `no container "c"; it has a, b`) {
		t.Errorf("container c: %v", err)
	}
	if _, err := Start(t.Context(), p, &Options{Store: s.store}); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "rm -f "+name) {
		t.Errorf("a second one of the name: %v", err)
	}
	if err := s.store.Remove(t.Context(), name, false); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a running pod: %v", err)
	}
	// The supervisor is this very process, which must not get a signal.
	if err := s.store.Stop(t.Context(), name, 0); !errors.Is(err, ErrRunning) {
		t.Errorf("stopping a pod of the own process: %v", err)
	}
	if err := s.store.Remove(t.Context(), name, true); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a pod of the own process: %v", err)
	}

	s.exec(name, "a", "link /proc/self/ns/uts; host; exit 5", 5)
	sup.Stop(0)
	s.finish(sup)
	if _, err := s.store.Get(name); !errors.Is(err, ErrNotExist) {
		t.Errorf("after its end: %v", err)
	}
}

// exec executes operations of the probe in a container.
func (s *stage) exec(pod, container, operations string, want int) {
	s.t.Helper()
	c, err := s.store.Container(pod, container)
	if err != nil {
		s.t.Fatal(err)
	}
	process := *c.Spec().Process
	process.Args = append([]string{"probe"}, words(operations)...)
	p, err := c.Exec(testkit.Soon(s.t), &runtime.ExecOptions{Process: &process})
	if err != nil {
		s.t.Fatal(err)
	}
	status, err := p.Wait(testkit.Soon(s.t))
	if err != nil || status.ExitCode() != want {
		s.t.Errorf("exit status %v, %v, want %d", status, err, want)
	}
}

// A pod that has ended stays with Keep until it is removed.
func TestKeep(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "echo hello; exit 7"))
	keep := func(o *Options) { o.Keep = true }
	s.run(p, keep)
	name := p.Metadata.Name
	r, err := s.store.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status.Phase != PodFailed || r.Status.Reason == ReasonLost || r.Status.FinishTime == nil || *r.Status.ExitCode != 7 {
		t.Errorf("status %+v", r.Status)
	}
	if code, err := s.store.Wait(t.Context(), name); code != 7 || err != nil {
		t.Errorf("Wait: %d %v", code, err)
	}
	if err := s.store.Stop(t.Context(), name, 0); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Stop: %v", err)
	}
	if _, err := s.store.Container(name, "a"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Container: %v", err)
	}
	if _, err := Start(t.Context(), p, &Options{Store: s.store}); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "rm "+name) {
		t.Errorf("a second one of the name: %v", err)
	}
	var lines []string
	if err := s.store.Logs(t.Context(), name, LogOptions{Tail: -1}, func(l Line) { lines = append(lines, l.Container+" "+string(l.Text)) }); err != nil || !slices.Equal(lines, []string{"a hello"}) {
		t.Errorf("Logs: %q %v", lines, err)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
	s.nothingLeft()
}

// Two stores may have pods of the same name; what becomes of one does not
// concern the other.
func TestTwoStores(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "hold"))
	sup, out := s.start(p)
	out.await("a: ready", 1)
	other := newStage(t)
	other.image = s.image
	q := *p
	result, lines := other.run(&q, func(o *Options) { o.Env = []string{"X=1"} }, func(o *Options) {
		o.Output = nil
		o.Args = map[string][]string{"a": {";", "echo"}}
	}, func(o *Options) { q.Spec.Containers = []Container{box("a", "echo other")} })
	if result != (Result{}) {
		t.Errorf("%+v %q", result, lines)
	}
	if err := other.store.Remove(t.Context(), p.Metadata.Name, true); err != nil {
		t.Error(err)
	}
	if c := sup.Status().ContainerStatuses[0]; c.State.Running == nil {
		t.Errorf("the first store's container was ended: %+v", c)
	}
	sup.Stop(0)
	s.finish(sup)
}

// A container that is no pod's may be called like a pod's.
func TestContainerOfNoPod(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "echo"))
	name := p.Metadata.Name
	c, err := s.store.runtime().Run(testkit.Soon(t), name+".b", &runtime.CreateOptions{Bundle: s.dir, Spec: &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: s.image},
		Process: &specs.Process{Args: []string{"/bin/probe", "stubborn"}, Cwd: "/"},
		Linux:   &specs.Linux{CgroupsPath: "/peapod/" + name + "-alone", Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.run(p)
	if err := s.store.Remove(t.Context(), name, true); err != nil {
		t.Error(err)
	}
	if c.Status() != specs.StateRunning {
		t.Errorf("it is %s", c.Status())
	}
	if err := c.Delete(testkit.Soon(t), true); err != nil {
		t.Error(err)
	}
}

// Looking at pods is not in the way of those who start and remove them.
func TestLookMeanwhile(t *testing.T) {
	s := newStage(t)
	var end atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for !end.Load() {
				list, err := s.store.List()
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				for _, r := range list {
					ctx, cancel := context.WithTimeout(context.Background(), 1)
					s.store.Wait(ctx, r.Pod.Metadata.Name)
					cancel()
				}
			}
		})
	}
	for range 10 {
		p := s.pod(box("a", "echo"))
		s.run(p, func(o *Options) { o.Keep = true })
		if err := s.store.Remove(t.Context(), p.Metadata.Name, false); err != nil {
			t.Error(err)
		}
	}
	end.Store(true)
	group.Wait()
}
