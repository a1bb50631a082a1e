package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// applied is a file of a Deployment that serves, a service of it, and a pod.
type applied struct {
	t       testing.TB
	name    string // of the Deployment
	other   string // of the pod
	path    string
	port    int
	objects map[string]map[string]any
}

func newApplied(t testing.TB) *applied {
	a := &applied{t: t, name: newName(t), other: newName(t), path: filepath.Join(t.TempDir(), "a.json"), port: freePort(t)}
	image := newRoot(t)
	a.objects = map[string]map[string]any{
		"deployment": deploymentOf(a.name, 3, map[string]any{
			"terminationGracePeriodSeconds": 5,
			"containers": []any{map[string]any{
				"name": "web", "image": "builtin:demo", "command": []any{"/bin/peapod", "demo", "web", "--listen", "0.0.0.0:80"},
				"ports":          []any{map[string]any{"name": "http", "containerPort": 80}},
				"readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/healthz", "port": "http"}, "periodSeconds": 1},
			}},
		}),
		"service": {"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": "s" + a.name, "annotations": map[string]any{"peapod.dev/host-port": fmt.Sprintf("127.0.0.1:%d", a.port)}},
			"spec":     map[string]any{"selector": map[string]any{"app": a.name}, "ports": []any{map[string]any{"port": 80, "targetPort": "http"}}}},
		"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": a.other},
			"spec": map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{"name": "b", "image": image, "command": []any{"probe", "hold"}}}}},
	}
	a.objects["deployment"]["spec"].(map[string]any)["strategy"] = map[string]any{"rollingUpdate": map[string]any{"maxSurge": "100%"}}
	t.Cleanup(func() {
		peapod(t, append([]string{"pod", "rm", "-f"}, a.pods(6)...)...).ok()
	})
	return a
}

func (a *applied) pods(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", a.name, i))
	}
	return names
}

// template is the Deployment's first container.
func (a *applied) container() map[string]any {
	return templateOf(a.objects["deployment"])["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}

// apply applies the objects, with options.
func (a *applied) apply(args ...string) *result {
	a.t.Helper()
	return peapod(a.t, append([]string{"pod", "apply", a.write()}, args...)...)
}

// write writes the file.
func (a *applied) write() (path string) {
	a.t.Helper()
	var items []any
	for _, what := range []string{"deployment", "service", "pod"} {
		if o := a.objects[what]; o != nil {
			items = append(items, o)
		}
	}
	writeJSON(a.t, a.path, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	return a.path
}

// starts are when the pods have been started.
func (a *applied) starts(names ...string) map[string]time.Time {
	a.t.Helper()
	list := map[string]time.Time{}
	for _, name := range names {
		list[name] = inspect(a.t, name).Status.StartTime
	}
	return list
}

func (a *applied) untouched(before map[string]time.Time) {
	a.t.Helper()
	for name, at := range before {
		if now := inspect(a.t, name).Status; !now.StartTime.Equal(at) || now.Phase != "Running" {
			a.t.Errorf("%s was touched: %+v", name, now)
		}
	}
}

// clients ask the service all the time. What they return is how many have been
// answered, and what failed.
func (a *applied) clients() (stop func() (asked int, failed []error)) {
	ending := make(chan struct{})
	var group sync.WaitGroup
	var mu sync.Mutex
	asked, failed := 0, []error(nil)
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-ending:
					return
				case <-time.After(2 * time.Millisecond):
				}
				err := exchange(fmt.Sprintf("127.0.0.1:%d", a.port))
				mu.Lock()
				if asked++; err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", time.Now().Format("05.000"), err))
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, []error) {
		close(ending)
		group.Wait()
		return asked, failed
	}
}

// exchange makes a request over a connection of its own.
func exchange(addr string) error {
	c, err := net.DialTimeout("tcp", addr, testkit.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		return fmt.Errorf("%q, %v", b, err)
	}
	return nil
}

// A file is changed and applied, again and again, while clients use its service:
// what has not changed is not touched, and no request fails.
func TestApply(t *testing.T) {
	a := newApplied(t)
	if got := a.apply().ok(); got != strings.Join(append([]string{a.other}, a.pods(3)...), "\n") {
		t.Errorf("the first time: %q", got)
	}
	all := append(a.pods(3), a.other)
	before := a.starts(all...)
	lines := func(deployment, service, pod string) string {
		return fmt.Sprintf("service/s%s %s\npod/%s %s\ndeployment/%s %s", a.name, service, a.other, pod, a.name, deployment)
	}
	if got := a.apply().ok(); got != lines("unchanged", "unchanged", "unchanged") {
		t.Errorf("the same again: %q", got)
	}
	a.untouched(before)
	address := fmt.Sprintf("127.0.0.1:%d", a.port)
	testkit.Eventually(t, "the service answers", func() bool { return exchange(address) == nil })
	stop := a.clients()

	// Nothing of a file that is wrong is applied.
	good := a.container()["image"]
	a.container()["env"] = []any{map[string]any{"name": "VERSION", "value": "2"}}
	a.container()["image"] = "/nowhere"
	a.objects["service"]["spec"].(map[string]any)["sessionAffinity"] = "ClientIP"
	a.apply().wants(1, "/nowhere")
	a.container()["image"] = good
	a.untouched(before)
	if got := peapod(t, "service", "inspect", "s"+a.name).ok(); strings.Contains(got, "ClientIP") {
		t.Error("the service was changed")
	}
	delete(a.objects["service"]["spec"].(map[string]any), "sessionAffinity")

	// A Deployment is replaced.
	if got := a.apply().ok(); got != lines("changed", "unchanged", "unchanged") {
		t.Errorf("another Deployment: %q", got)
	}
	for name, at := range a.starts(a.pods(3)...) {
		if !at.After(before[name]) {
			t.Errorf("%s was not replaced", name)
		}
	}
	a.untouched(map[string]time.Time{a.other: before[a.other]})
	before = a.starts(all...)

	a.changeService(t, before)

	// What is not in the file is told, and removed if that is wanted.
	pod := a.objects["pod"]
	delete(a.objects, "pod")
	if got := a.apply().ok(); !strings.Contains(got, "pod/"+a.other+" not in the file") {
		t.Errorf("without the pod: %q", got)
	}
	a.untouched(before)
	if got := a.apply("--prune").ok(); !strings.Contains(got, "pod/"+a.other+" removed") {
		t.Errorf("prune: %q", got)
	}
	nothingOf(t, a.other)
	peapod(t, "pod", "scale", "deployment/"+a.name, "--replicas", "4").ok()
	a.starts(a.pods(4)...)
	a.objects["pod"] = pod
	if got := a.apply().ok(); got != lines("changed", "unchanged", "created") {
		t.Errorf("once more: %q", got)
	}
	peapod(t, "pod", "inspect", a.pods(4)[3]).wants(1, "no such pod")
	delete(before, a.other)
	a.untouched(before)
	asked, failed := stop()
	if t.Logf("%d requests", asked); len(failed) > 0 || asked < 100 {
		t.Errorf("%d requests failed of %d, the first of them: %v", len(failed), asked, failed[:min(len(failed), 3)])
	}

	// What was stopped is started, by the same supervisor and, where that has ended, by another.
	peapod(t, "pod", "stop", a.other).ok()
	if got := a.apply().ok(); got != lines("unchanged", "unchanged", "started again") {
		t.Errorf("after a stop: %q", got)
	}
	peapod(t, append([]string{"pod", "stop"}, all...)...).ok()
	a.apply().ok()
	if now := inspect(t, a.other); now.Status.Phase != "Running" {
		t.Errorf("%+v", now.Status)
	}
	peapod(t, append([]string{"pod", "stop"}, all...)...).ok()
	peapod(t, append([]string{"pod", "rm"}, all...)...).ok()
	nothingOf(t, a.name)
}

// changeService changes a service, whose connections do not notice.
func (a *applied) changeService(t *testing.T, before map[string]time.Time) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	again := func() {
		t.Helper()
		c.SetDeadline(time.Now().Add(testkit.Patience))
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("the connection that was open: %v", err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	again()
	address := peapod(t, "service", "ls").ok()
	more := freePort(t)
	a.objects["service"]["metadata"].(map[string]any)["annotations"].(map[string]any)["peapod.dev/host-port"] = fmt.Sprintf("127.0.0.1:%d, 127.0.0.1:%d", a.port, more)
	a.objects["service"]["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["targetPort"] = 80
	if got := a.apply().ok(); !strings.Contains(got, "service/s"+a.name+" changed") {
		t.Errorf("another service: %q", got)
	}
	again()
	if err := exchange(fmt.Sprintf("127.0.0.1:%d", more)); err != nil {
		t.Errorf("the port that came: %v", err)
	}
	if now := peapod(t, "service", "ls").ok(); strings.Fields(now)[len(strings.Fields(now))-1] == "" || !strings.Contains(now, "s"+a.name) {
		t.Errorf("before %s\nafter %s", address, now)
	}
	// A port that is taken changes nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	annotations := a.objects["service"]["metadata"].(map[string]any)["annotations"].(map[string]any)
	good := annotations["peapod.dev/host-port"]
	annotations["peapod.dev/host-port"] = l.Addr().String()
	a.apply().wants(1, "in use by another process")
	annotations["peapod.dev/host-port"] = good
	for _, port := range []int{a.port, more} {
		if err := exchange(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			t.Errorf("port %d: %v", port, err)
		}
	}
	again()
	a.untouched(before)
}

// Two files with parts of each other are not mixed up.
func TestApplyOfTwo(t *testing.T) {
	a := newApplied(t)
	one := filepath.Join(t.TempDir(), "one.json")
	writeJSON(t, one, a.objects["pod"])
	peapod(t, "pod", "run", "-d", one).ok()
	pod := a.objects["pod"]
	delete(a.objects, "pod")
	a.apply().ok()
	a.objects["pod"] = pod
	a.apply().wants(1, "two supervisors", "pod "+a.other)
	// A name that is another's.
	delete(a.objects, "pod")
	a.objects["service"] = nil
	a.objects["deployment"]["metadata"].(map[string]any)["name"] = a.name
	os.WriteFile(one, []byte("{"), 0o600)
	peapod(t, "pod", "apply", one).wants(1, one)
	peapod(t, append([]string{"pod", "rm", "-f", a.other}, a.pods(3)...)...).ok()
}
