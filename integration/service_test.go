package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// serviceOf runs two web servers behind a service of their name, with its
// address, and an address by hand behind another one.
func serviceOf(t testing.TB) (web, outside, address string) {
	t.Helper()
	web, outside = newName(t), newName(t)
	t.Cleanup(func() { peapod(t, "pod", "rm", "--force", web+"-0", web+"-1").ok() })
	text := strings.NewReplacer("WEB", web, "OUTSIDE", outside).Replace(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: WEB}
spec:
  replicas: 2
  selector: {matchLabels: {app: WEB}}
  template:
    metadata: {labels: {app: WEB}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: web
          image: builtin:demo
          args: [web, --listen, ":8080"]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: WEB, annotations: {peapod.dev/balance: round-robin}}
spec: {selector: {app: WEB}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: OUTSIDE}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: OUTSIDE}
subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 5432}]}]
`)
	path := filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Eventually(t, "both pods receive connections", func() bool { return serviceColumn(t, web, 5) == "2/2" })
	return web, outside, serviceColumn(t, web, 2)
}

// serviceColumn is a field of a service's line.
func serviceColumn(t testing.TB, name string, column int) string {
	t.Helper()
	for line := range strings.Lines(peapod(t, "service", "ls").ok()) {
		if fields := strings.Fields(line); fields[0] == name {
			return fields[column]
		}
	}
	return ""
}

// topOf is what is used of the output of service top -o json.
type topOf struct {
	Ports []struct {
		Service   string
		Active    int
		Total     uint64
		Waiting   int
		PerSecond *struct{ Connections float64 }
		Endpoints []struct {
			Name    string
			Total   uint64
			In, Out int64
			States  map[string]int
		}
	}
}

// active is how many connections and flows there are.
func (o topOf) active() (n int) {
	for _, p := range o.Ports {
		n += p.Active
	}
	return n
}

func TestServiceCommands(t *testing.T) {
	web, outside, address := serviceOf(t)
	if got := strings.Fields(peapod(t, "service", "ls", "-q").ok()); !strings.Contains(strings.Join(got, " "), web) || len(got) != 2 {
		t.Errorf("names %q", got)
	}
	wide := peapod(t, "service", "ls", "-o", "wide").ok()
	for _, want := range []string{"EXTERNAL", "80/TCP", "app=" + web, "5432/TCP", "1/1"} {
		if !strings.Contains(wide, want) {
			t.Errorf("no %q in\n%s", want, wide)
		}
	}
	list := decode[struct {
		Kind  string
		Items []struct{ Spec struct{ ClusterIP string } }
	}](t, peapod(t, "service", "ls", "-o", "json").ok())
	if list.Kind != "ServiceList" || len(list.Items) != 2 || list.Items[0].Spec.ClusterIP == "" {
		t.Errorf("%+v", list)
	}
	details := decode[[]struct {
		Endpoints []struct{ Name, State, Reason string }
		Options   struct{ Balance string }
		Owner     struct{ Pods []string }
	}](t, peapod(t, "service", "inspect", web, outside).ok())
	if d := details[0]; len(details) != 2 || len(d.Endpoints) != 2 || d.Endpoints[0].State != "ready" || d.Options.Balance != "round-robin" || len(d.Owner.Pods) != 2 ||
		details[1].Endpoints[0].Name != "192.0.2.1" {
		t.Errorf("%+v", details)
	}
	const requests = 20
	for range requests {
		// A connection for each.
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := c.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	top := decode[topOf](t, peapod(t, "service", "top", "--no-stream", "-i", "0.1", "-o", "json", web).ok())
	if len(top.Ports) != 1 || top.Ports[0].Total != requests || len(top.Ports[0].Endpoints) != 2 || top.Ports[0].PerSecond == nil {
		t.Fatalf("%+v", top)
	}
	for _, e := range top.Ports[0].Endpoints {
		if e.Total != requests/2 || e.In == 0 || e.Out < 1000 || e.States["ready"] != 1 {
			t.Errorf("%+v", e)
		}
	}
	table := peapod(t, "service", "top", "--no-stream", "-i", "0.1").ok()
	if !strings.Contains(table, web+":80/TCP") || !strings.Contains(table, "  "+web+"-1") || !strings.Contains(table, outside+":5432/TCP") || strings.Contains(table, "\x1b") {
		t.Errorf("%s", table)
	}
	metrics := peapod(t, "service", "metrics").ok()
	sum := 0
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, `peapod_service_endpoint_connections_total{service="`+web); ok {
			var n int
			fmt.Sscan(rest[strings.LastIndexByte(rest, ' '):], &n)
			sum += n
		}
	}
	if sum != requests {
		t.Errorf("%d connections in\n%s", sum, metrics)
	}
	peapod(t, "service", "inspect", web+"x").wants(1, "no such service (did you mean "+web)
	peapod(t, "service", "top", "quite-different").wants(1, "quite-different: no such service (peapod service ls lists them)")
	if got := peapod(t, "service", "top", "", "--generate-bash-completion").ok(); !strings.Contains(got, web) {
		t.Errorf("completed to %q", got)
	}
}

// A pod that is not ready is told with the reason.
func TestServiceNotReady(t *testing.T) {
	name := newName(t)
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %[1]q, "labels": {"app": %[1]q}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
{"name": "web", "image": "builtin:demo", "args": ["web", "--listen", ":8080"], "readinessProbe": {"httpGet": {"path": "/missing", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}}]}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": %[1]q}, "spec": {"selector": {"app": %[1]q}, "ports": [{"port": 8080}]}}`, name)
	path := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Until(t, func() string {
		got := peapod(t, "service", "inspect", "-o", "text", name).ok()
		if !strings.Contains(got, "not ready") || !strings.Contains(got, "status 404") || serviceColumn(t, name, 5) != "0/1" {
			return got
		}
		return ""
	})
}

// Without a terminal there is one table after the other; on one they take each
// other's place. An interrupt ends both in order.
func TestServiceTopGoesOn(t *testing.T) {
	web, _, _ := serviceOf(t)
	p := begin(t, command(t, "service", "top", "-i", "0.1", web))
	testkit.Eventually(t, "there are two tables", func() bool {
		return strings.Count(p.sees("\n\nSERVICE"), "SERVICE ") >= 2
	})
	p.cmd.Process.Signal(unix.SIGINT)
	if code := p.status(); code != 0 || strings.Contains(p.seen.String(), "\x1b") {
		t.Errorf("status %d, %q", code, p.seen.String())
	}

	p = begin(t, command(t, "service", "top", "-i", "0.1", "-o", "json", web))
	line, _, _ := strings.Cut(p.sees("}\n{"), "\n")
	if err := json.Unmarshal([]byte(line), &topOf{}); err != nil {
		t.Errorf("%v: %q", err, line)
	}
	p.cmd.Process.Signal(unix.SIGTERM)
	if code := p.status(); code != 0 {
		t.Errorf("status %d", code)
	}

	master, slave := newTerminal(t)
	setSize(t, int(slave.Fd()), 10, 30)
	cmd := command(t, "service", "top", "-i", "0.1", web)
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p = watchCommand(t, cmd, master)
	p.sees("\x1b[?25l")
	text := p.sees("\x1b[4A") // up, to draw anew
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.Trim(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "\x1b[?25l"), "\x1b[K"), "\r"); len(line) > 30 && !strings.Contains(line, "\x1b") {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	master.Write([]byte{3}) // Ctrl-C
	p.sees("\x1b[?25h")
	if code := p.status(); code != 0 {
		t.Errorf("status %d, %q", code, p.seen.String())
	}
}

func TestNoServices(t *testing.T) {
	root := t.TempDir()
	for _, args := range [][]string{{"ls"}, {"ls", "-o", "wide"}, {"top"}, {"top", "--no-stream"}} {
		r := peapod(t, append([]string{"--root", root, "service"}, args...)...)
		if r.wants(0, "there are no services"); r.stdout != "" {
			t.Errorf("%q: %q", args, r.stdout)
		}
	}
	if got := peapod(t, "--root", root, "service", "ls", "-q").ok(); got != "" {
		t.Errorf("%q", got)
	}
	if got := decode[struct{ Items []any }](t, peapod(t, "--root", root, "service", "ls", "-o", "json").ok()); got.Items == nil {
		t.Error("items is null")
	}
	peapod(t, "--root", root, "service", "metrics").ok()
	peapod(t, "--root", root, "service", "inspect", "web").wants(1, "service web: no such service")
}
