package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

// manifest is one of pods and of a Deployment of them.
func (s *stage) manifest(replicas int, template *Pod, pods ...*Pod) *Manifest {
	m := &Manifest{Pods: pods}
	if template != nil {
		labels := map[string]string{"app": "x"}
		m.Deployments = []*Deployment{{
			APIVersion: "apps/v1", Kind: "Deployment", Metadata: Metadata{Name: template.Metadata.Name}, Dir: s.dir,
			Spec: DeploymentSpec{
				Replicas: &replicas, Selector: LabelSelector{MatchLabels: labels},
				Template: PodTemplate{Metadata: TemplateMetadata{Labels: labels}, Spec: template.Spec},
			},
		}}
		m.Deployments[0].Spec.Template.Spec.RestartPolicy = RestartAlways
		for i := range replicas {
			s.pods = append(s.pods, fmt.Sprintf("%s-%d", template.Metadata.Name, i))
		}
	}
	m.SetDefaults()
	return m
}

// group starts pods that are stopped at the end of the test at the latest.
func (s *stage) group(m *Manifest, change ...func(*Options)) (*Group, *output) {
	s.t.Helper()
	out := newOutput(s.t)
	o := &Options{Store: s.store, Output: func(l Line) {
		l.Container = l.Pod + "/" + l.Container
		out.add(l)
	}}
	for _, f := range change {
		f(o)
	}
	g, err := StartManifest(testkit.Soon(s.t), m, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		g.Stop(0)
		g.Wait()
	})
	return g, out
}

func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// The pods of a group have one supervisor and a life of their own each.
func TestGroup(t *testing.T) {
	s := newStage(t)
	a, b, template := s.pod(box("x", "hold")), s.pod(box("x", "hold; exit 5")), s.pod(box("y", "hold"))
	nameA, nameB, nameD := a.Metadata.Name, b.Metadata.Name, template.Metadata.Name
	var mu sync.Mutex
	told := map[string]bool{}
	g, out := s.group(s.manifest(2, template, a, b), func(o *Options) {
		o.Ready = func(r Readiness) { mu.Lock(); told[r.Pod+" "+r.Container] = true; mu.Unlock() }
		o.Event = func(e Event) { mu.Lock(); told["end of "+e.Pod+" "+e.Container] = true; mu.Unlock() }
	})
	want := []string{nameA, nameB, nameD + "-0", nameD + "-1"}
	if got := g.Names(); !slices.Equal(got, want) {
		t.Fatalf("pods %q, want %q", got, want)
	}
	for _, name := range want {
		out.await(name+map[bool]string{true: "/y", false: "/x"}[strings.HasPrefix(name, nameD)]+": ready", 1)
	}
	list, err := s.store.List()
	if err != nil || len(list) != 4 {
		t.Fatalf("registered: %v %v", list, err)
	}
	// One is stopped, as another process would do it; the others go on.
	if err := s.store.Stop(testkit.Soon(t), nameA, time.Minute); err != nil {
		t.Fatal(err)
	}
	out.await(nameA+"/x: terminated", 1)
	if list, _ := s.store.List(); len(list) != 3 {
		t.Errorf("registered: %d, want 3", len(list))
	}
	for _, sup := range g.Supervisors()[1:] {
		if status := sup.Status(); status.Phase != PodRunning || status.DeletionTimestamp != nil {
			t.Errorf("%s: %+v", sup.Pod().Metadata.Name, status)
		}
	}
	// A request that is more impatient counts, and the rest ends together.
	g.Stop(time.Minute)
	await(t, g.Done(), "the group")
	if result := g.Wait(); result != (GroupResult{}) {
		t.Errorf("result %+v", result)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, what := range []string{nameA + " x", nameD + "-1 y", "end of " + nameA + " x", "end of " + nameD + "-0 y"} {
		if !told[what] {
			t.Errorf("not told: %s", what)
		}
	}
}

func TestGroupResult(t *testing.T) {
	s := newStage(t)
	a, b, c := s.pod(box("x", "exit 0")), s.pod(box("x", "exit 5")), s.pod(box("x", "exit 6"))
	g, _ := s.group(s.manifest(0, nil, a, b, c))
	await(t, g.Done(), "the group")
	if result := g.Wait(); result != (GroupResult{b.Metadata.Name, Result{"x", 5}}) {
		t.Errorf("result %+v", result)
	}
}

// When one cannot start, nothing is left of any, even if it was to be kept.
func TestGroupStartsWhole(t *testing.T) {
	s := newStage(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		spoil func(c *Container)
		want  string
	}{
		{func(c *Container) { c.Image = "gone" }, "spec.containers[0].image: "},
		{func(c *Container) { c.Ports = []Port{{ContainerPort: 80, HostPort: port, HostIP: "127.0.0.1"}} }, "in use by another process"},
		{func(c *Container) { c.Command = []string{"/etc/passwd"} }, "/etc/passwd"},
	} {
		var pods []*Pod
		for range 5 {
			pods = append(pods, s.pod(box("x", "stubborn")))
		}
		tt.spoil(&pods[4].Spec.Containers[0])
		g, err := StartManifest(testkit.Soon(t), s.manifest(0, nil, pods...), &Options{Store: s.store, Keep: true})
		if err == nil {
			g.abandon()
			t.Fatalf("no error, want %s", tt.want)
		}
		if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "canceled") {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
		s.nothingLeft()
	}
}

func TestGroupOptions(t *testing.T) {
	s := newStage(t)
	service := &Service{Metadata: Metadata{Name: "web"}, Spec: ServiceSpec{Selector: map[string]string{"a": "b"}, Ports: []ServicePort{{Port: 80}}}}
	for _, tt := range []struct {
		m    *Manifest
		o    Options
		want string
	}{
		{s.manifest(0, s.pod(box("x", "hold"))), Options{}, "there is no pod to run: all Deployments have 0 replicas"},
		{s.manifest(2, s.pod(box("x", "hold"))), Options{Name: "y"}, `name "y": there are 2 pods; a name can be given to a single one`},
		{s.manifest(0, nil, s.pod(box("x", "hold")), s.pod(box("z", "hold"))), Options{Args: map[string][]string{"y": {"1"}}}, `argument for container "y": there is no such container; there are x, z`},
		{&Manifest{Services: []*Service{service}}, Options{}, "there is no pod to run: the file has neither a Pod nor a Deployment"},
	} {
		tt.o.Store = s.store
		tt.m.SetDefaults()
		_, err := StartManifest(t.Context(), tt.m, &tt.o)
		checkError(t, "options", err, tt.want)
	}
	a, b := s.pod(box("x", "env A; args")), s.pod(box("y", "env A; args"))
	g, out := s.group(s.manifest(0, nil, a, b), func(o *Options) {
		o.Env, o.Args = []string{"A=1"}, map[string][]string{"y": {";", "echo", "more"}}
	})
	await(t, g.Done(), "the group")
	for _, want := range []string{a.Metadata.Name + "/x: A=1", b.Metadata.Name + "/y: A=1", b.Metadata.Name + "/y: more"} {
		if !slices.Contains(out.all(), want) {
			t.Errorf("%q is not in %q", want, out.all())
		}
	}
	one := s.pod(box("x", "echo hi"))
	s.pods = append(s.pods, "renamed-"+one.Metadata.Name)
	g, _ = s.group(s.manifest(0, nil, one), func(o *Options) { o.Name = "renamed-" + one.Metadata.Name })
	await(t, g.Done(), "the group")
	if got := g.Names(); !slices.Equal(got, []string{"renamed-" + one.Metadata.Name}) {
		t.Errorf("%q", got)
	}
}

// A detached group is looked at, stopped and removed pod by pod; a signal to its
// supervisor is for all of them.
func TestDetachGroup(t *testing.T) {
	s := newStage(t)
	var text []byte
	var names []string
	for i := range 4 {
		p := s.pod(box("x", "hold"))
		names = append(names, p.Metadata.Name)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			text = append(text, "\n---\n"...)
		}
		text = append(text, data...)
	}
	got, _, err := Detach(testkit.Soon(t), &Detached{File: s.path("m.json"), Data: text, Options: Options{Store: s.store}}, "/proc/self/exe", superviseArg)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Cleanup(func() { s.store.Remove(context.Background(), name, true) })
		s.awaitLog(name, "x: ready")
	}
	if !slices.Equal(got, names) {
		t.Errorf("names %q, want %q", got, names)
	}
	if err := s.store.Stop(testkit.Soon(t), names[1], -1); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Remove(testkit.Soon(t), names[2], true); err != nil {
		t.Fatal(err)
	}
	phases := func() string {
		var list []string
		for _, name := range names {
			r, err := s.store.Get(name)
			if err != nil {
				list = append(list, "gone")
				continue
			}
			list = append(list, string(r.Status.Phase))
		}
		return strings.Join(list, " ")
	}
	if got := phases(); got != "Running Succeeded gone Running" {
		t.Errorf("pods are %s", got)
	}
	// Whoever has been stopped is no news: a signal is for all.
	p, err := s.store.place(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[:1] {
		if _, err := s.store.Wait(testkit.Soon(t), name); err != nil {
			t.Error(err)
		}
	}
	testkit.Until(t, func() string {
		if got := phases(); got != "Succeeded Succeeded gone Succeeded" {
			return "pods are " + got
		}
		return ""
	})
}

// Pods of a group that end by themselves do not keep the others, or anything
// else, from ending.
func TestGroupEndsOneByOne(t *testing.T) {
	s := newStage(t)
	var pods []*Pod
	for i := range 20 {
		pods = append(pods, s.pod(box("x", fmt.Sprintf("sleep %d", i%5))))
	}
	g, _ := s.group(s.manifest(0, nil, pods...))
	await(t, g.Done(), "the group")
	if result := g.Wait(); result != (GroupResult{}) {
		t.Errorf("%+v", result)
	}
}

// Of pods that are there already all are told at once.
func TestGroupExists(t *testing.T) {
	s := newStage(t)
	m := s.manifest(2, s.pod(box("a", "hold")))
	g, _ := s.group(m, func(o *Options) { o.Keep = true })
	names := g.Names()
	refused := func(want string) {
		t.Helper()
		if _, err := StartManifest(t.Context(), m, &Options{Store: s.store}); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	refused(strings.Join(names, ", ") + ": remove what is there (peapod pod rm -f " + strings.Join(names, " ") + ")")
	if err := s.store.Stop(testkit.Soon(t), names[0], 0); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Remove(testkit.Soon(t), names[0], false); err != nil {
		t.Fatal(err)
	}
	g.Stop(0)
	g.Wait()
	refused(": " + names[1] + ": remove what is there (peapod pod rm " + names[1] + ")")
	if err := s.store.Remove(testkit.Soon(t), names[1], false); err != nil {
		t.Fatal(err)
	}
}
