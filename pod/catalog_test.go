package pod

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func parseServices(t testing.TB, text string) *Manifest {
	t.Helper()
	m, err := ParseManifest("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func simpleService(name string) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {selector: {app: %s}, ports: [{port: 80, targetPort: http}]}}\n", name, name)
}

func register(t testing.TB, s *Store, text string) *registration {
	t.Helper()
	m := parseServices(t, text)
	r, err := s.register(m.Services, m.Endpoints, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.release)
	return r
}

func TestRegisterServices(t *testing.T) {
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	first := register(t, s, simpleService("web")+simpleService("db"))
	list, err := s.ListServices()
	if err != nil || len(list) != 2 || list[0].Service.Metadata.Name != "db" || list[0].PID != os.Getpid() {
		t.Fatalf("%v, %v", list, err)
	}
	ip := netip.MustParseAddr(list[0].Service.Spec.ClusterIP)
	if !serviceRange.Contains(ip) || list[0].Service.Spec.ClusterIP == list[1].Service.Spec.ClusterIP {
		t.Errorf("addresses %s and %s", ip, list[1].Service.Spec.ClusterIP)
	}
	m := parseServices(t, simpleService("other")+simpleService("db"))
	if _, err := s.register(m.Services, nil, ""); !errors.Is(err, ErrServiceExist) || !strings.Contains(err.Error(), "test.yaml:4") {
		t.Errorf("a second db: %v", err)
	}
	if list, _ := s.ListServices(); len(list) != 2 {
		t.Errorf("a failed registration left something: %v", list)
	}
	first.release()
	if _, err := s.GetService("db"); !errors.Is(err, ErrServiceNotExist) {
		t.Errorf("released: %v", err)
	}
	again := register(t, s, simpleService("db"))
	if got := again.records[0].Service.Spec.ClusterIP; got != ip.String() {
		t.Errorf("the address was %s and is %s now", ip, got)
	}
	entries, _ := os.ReadDir(s.servicesDir())
	if len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

// What a process that died registered is not there any more, and in nobody's
// way.
func TestServiceOfTheDead(t *testing.T) {
	if root := os.Getenv("PEAPOD_TEST_REGISTER"); root != "" {
		m := parseServices(t, simpleService("db"))
		if _, err := (&Store{Root: root}).register(m.Services, nil, ""); err != nil {
			t.Fatal(err)
		}
		fmt.Println("registered")
		time.Sleep(time.Hour)
	}
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	cmd := exec.Command(os.Args[0], "-test.run=TestServiceOfTheDead$")
	cmd.Env = append(os.Environ(), "PEAPOD_TEST_REGISTER="+s.Root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fscanln(out, new(string))
	if _, err := s.GetService("db"); err != nil {
		t.Error(err)
	}
	events := make(chan change, 16)
	c, err := s.openCatalog(func(what change) { events <- what })
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if c.service("db") == nil {
		t.Error("the catalog does not have it")
	}
	killed := time.Now()
	cmd.Process.Kill()
	cmd.Wait()
	if what := <-events; !slices.Equal(what.services, []string{"db"}) || c.service("db") != nil {
		t.Errorf("%+v", what)
	}
	if took := time.Since(killed); took > time.Second {
		t.Errorf("seen after %v", took)
	}
	if _, err := s.GetService("db"); !errors.Is(err, ErrServiceNotExist) {
		t.Errorf("of a dead process: %v", err)
	}
	register(t, s, simpleService("db"))
}

func TestAllocator(t *testing.T) {
	m := parseServices(t, simpleService("a")+`---
{apiVersion: v1, kind: Service, metadata: {name: fixed}, spec: {clusterIP: 127.96.1.2, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: node}, spec: {type: NodePort, ports: [{name: one, port: 80}, {name: two, port: 81, nodePort: 30007}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {a: b}}}
---
{apiVersion: v1, kind: Service, metadata: {name: out}, spec: {type: ExternalName, externalName: example.com}}
`)
	a := newAllocator(nil, (&Store{}).serviceRanges(), nil)
	var chosen []*Service
	for _, s := range m.Services {
		c, err := a.choose(s)
		if err != nil {
			t.Fatal(err)
		}
		chosen = append(chosen, c)
	}
	if m.Services[0].Spec.ClusterIP != "" || chosen[1].Spec.ClusterIP != "127.96.1.2" || chosen[3].Spec.ClusterIP != HeadlessIP || chosen[4].Spec.ClusterIP != "" {
		t.Errorf("%+v", chosen)
	}
	if p := chosen[2].Spec.Ports; p[0].NodePort < minNodePort || p[0].NodePort > maxNodePort || p[0].NodePort == 30007 || p[1].NodePort != 30007 {
		t.Errorf("node ports %+v", p)
	}
	for _, text := range []string{
		"---\n" + `{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 127.96.1.2, ports: [{port: 80}]}}`,
		"---\n" + `{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: 127.96.0.10, ports: [{port: 80}]}}`,
		"---\n" + `{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {type: NodePort, ports: [{port: 80, nodePort: 30007}]}}`,
	} {
		if _, err := a.choose(parseServices(t, text).Services[0]); err == nil || !strings.Contains(err.Error(), "test.yaml:2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// fakePod registers what a supervisor would.
type fakePod struct {
	t      testing.TB
	place  place
	lock   *os.File
	status PodStatus
}

func newFakePod(t testing.TB, s *Store, name, app string) *fakePod {
	t.Helper()
	p, lock, err := s.claim(name, groupMark{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakePod{t: t, place: p, lock: lock, status: PodStatus{Phase: PodRunning, ContainerStatuses: []ContainerStatus{{Name: "c", Ready: true}}}}
	pod := &Pod{Metadata: Metadata{Name: name, Namespace: "default", Labels: map[string]string{"app": app}},
		Spec: Spec{Containers: []Container{{Name: "c", Ports: []Port{{Name: "http", ContainerPort: 8080}}}}}}
	if err := pod.save(p.specFile()); err != nil {
		t.Fatal(err)
	}
	f.ready(true)
	t.Cleanup(f.die)
	return f
}

func (f *fakePod) ready(ready bool) {
	f.status.ContainerStatuses[0].Ready = ready
	if err := f.status.save(f.place.statusFile()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakePod) die() { f.lock.Close() }

func TestCatalogFollowsPods(t *testing.T) {
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	old := newFakePod(t, s, "old", "web")
	events := make(chan change, 100)
	c, err := s.openCatalog(func(what change) { events <- what })
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	// until waits for a state of the pods that the service leads to.
	until := func(want string) {
		t.Helper()
		timeout := time.After(5 * time.Second)
		for {
			var got []string
			if r := c.service("web"); r != nil {
				for _, p := range c.selected(r.Service) {
					got = append(got, fmt.Sprintf("%s=%v", p.pod.Metadata.Name, p.state.ready && !p.state.ending))
				}
			}
			if strings.Join(got, " ") == want {
				return
			}
			select {
			case <-events:
			case <-timeout:
				t.Fatalf("got %v, want %q", got, want)
			}
		}
	}
	until("")
	newFakePod(t, s, "unseen", "other")
	r := register(t, s, simpleService("web"))
	until("old=true")
	next := newFakePod(t, s, "next", "web")
	until("next=true old=true")
	next.ready(false)
	until("next=false old=true")
	next.ready(true)
	old.die()
	until("next=true")
	if p := c.selected(c.service("web").Service)[0]; p.pod.Spec.Containers[0].Ports[0].ContainerPort != 8080 {
		t.Errorf("%+v", p.pod)
	}
	os.RemoveAll(next.place.state)
	until("")
	r.release()
	for c.service("web") != nil {
		<-events
	}
	if names := c.leading([]string{"gone"}); len(names) != 0 {
		t.Error(names)
	}
}

func TestCatalogOfManyServices(t *testing.T) {
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	var text strings.Builder
	const n = 200
	for i := range n {
		text.WriteString(simpleService(fmt.Sprintf("s%d", i)))
	}
	seen := make(chan change, 1000)
	c, err := s.openCatalog(func(what change) { seen <- what })
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	register(t, s, text.String())
	for len(c.all()) < n {
		<-seen
	}
	addresses := map[string]bool{}
	for _, r := range c.all() {
		addresses[r.Service.Spec.ClusterIP] = true
	}
	if len(addresses) != n {
		t.Errorf("%d addresses for %d services", len(addresses), n)
	}
	if _, err := os.Stat(filepath.Join(s.root(), "services.lock")); err != nil {
		t.Error(err)
	}
}
