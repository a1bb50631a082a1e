package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/proxy"
)

var serviceNow = time.Unix(1e9, 0)

// shownServices are those of a manifest, registered an hour ago by process 42.
func shownServices(t testing.TB) (list []*pod.ServiceRecord) {
	t.Helper()
	m, err := pod.ParseManifest("test.yaml", []byte(`
apiVersion: v1
kind: Service
metadata: {name: db, annotations: {peapod.dev/accept-proxy-protocol: "true", peapod.dev/send-proxy-protocol: v2}}
spec: {clusterIP: 127.96.0.2, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets: [{addresses: [{ip: 192.0.2.1}], notReadyAddresses: [{ip: 192.0.2.2}], ports: [{port: 5432}]}]
---
apiVersion: v1
kind: Service
metadata: {name: ext}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Service
metadata: {name: head}
spec: {clusterIP: None, selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {peapod.dev/host-port: "http=127.0.0.1:8080", peapod.dev/slow-start: 10m, peapod.dev/max-connections: "5", peapod.dev/queue: "7", peapod.dev/keep-alive: "off"}}
spec:
  type: NodePort
  clusterIP: 127.96.0.1
  selector: {tier: front, app: web}
  sessionAffinity: ClientIP
  externalIPs: [192.0.2.9]
  ports: [{name: http, port: 80, nodePort: 30321, targetPort: http}, {name: dns, port: 53, protocol: UDP}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Services {
		r := &pod.ServiceRecord{Service: s, Created: serviceNow.Add(-time.Hour).UTC(), PID: 42}
		if s.Metadata.Name == "db" {
			r.Endpoints = m.Endpoints[0]
		}
		list = append(list, r)
	}
	return list
}

// shownPods are of three kinds: ready, not ready, ending.
func shownPods() (list []*pod.Record) {
	for i, name := range []string{"web-0", "web-1", "web-2"} {
		r := &pod.Record{Pod: &pod.Pod{Metadata: pod.Metadata{Name: name, Labels: map[string]string{"app": "web", "tier": "front"}}}}
		r.Pod.Spec.Containers = []pod.Container{{Name: "c", Ports: []pod.Port{{Name: "http", ContainerPort: 8080}}}}
		r.Pod.SetDefaults()
		r.Status = pod.PodStatus{Phase: pod.PodRunning, Supervisor: pod.SupervisorStatus{PID: 42}, ContainerStatuses: []pod.ContainerStatus{{Name: "c", Ready: i != 1}}}
		if i == 1 {
			r.Status.Conditions = []pod.PodCondition{{Type: pod.PodReady, Status: "False", Message: "c: readiness probe: status 503"}}
		}
		if i == 2 {
			r.Status.DeletionTimestamp = &serviceNow
		}
		list = append(list, r)
	}
	return list
}

// golden compares with a file in testdata.
func golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s (go test ./cmd/peapod -update, if it is to be so): %v\n%s", path, err, got)
	}
}

func TestServiceTables(t *testing.T) {
	var b bytes.Buffer
	services, pods := shownServices(t), shownPods()
	for _, wide := range []bool{false, true} {
		if err := writeServices(&b, services, pods, serviceNow, wide); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range services {
		d, err := detailsOf(r, pods)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
		if err := d.write(&b); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "services.txt", b.String())
}

// forwarded is what two processes have counted: the second time more.
func forwarded(again uint64) []pod.ProcessTraffic {
	endpoint := func(name, state string, n uint64) pod.EndpointTraffic {
		e := pod.EndpointTraffic{ID: name + "/42", Name: name, Address: "127.0.0.1:8080", States: map[string]int{state: 1}, Active: int(n), Total: n, In: int64(1000 * n), Out: int64(1e6 * n)}
		e.Connect = &proxy.Histogram{}
		for range n {
			e.Connect.Add(100 * time.Microsecond)
		}
		return e
	}
	aside := endpoint("web-1", "set aside", 0)
	aside.Total, aside.Failed, aside.Connect = 3+again, 3+again, nil
	return []pod.ProcessTraffic{
		{PID: 42, Ports: []pod.PortTraffic{
			{Service: "web", Name: "http", Port: 80, Protocol: "TCP", Waiting: 2, TurnedAway: proxy.TurnedAway{NoEndpoint: 4, Unreachable: 1}, Endpoints: []pod.EndpointTraffic{endpoint("web-0", "ready", 10+again), aside, endpoint("web-2", "draining", 1)}},
			{Service: "web", Name: "dns", Port: 53, Protocol: "UDP", Endpoints: []pod.EndpointTraffic{}},
		}},
		{PID: 43, Ports: []pod.PortTraffic{
			{Service: "web", Name: "http", Port: 80, Protocol: "TCP", Waiting: 1, Endpoints: []pod.EndpointTraffic{endpoint("web-0", "ready", 5), endpoint("web-1", "ready", 5+2*again)}},
		}},
	}
}

func TestServiceTopTable(t *testing.T) {
	services := shownServices(t)
	first := newTopView(services, nil, nil, forwarded(0), time.Hour)
	later := newTopView(services, []string{"web"}, forwarded(0), forwarded(20), 2*time.Second)
	newcomer := newTopView(services, []string{"web"}, forwarded(0)[:1], forwarded(0), time.Second)
	text := ""
	for _, v := range []*topView{first, later, newcomer, {}} {
		text += strings.Join(v.lines(), "\n") + "\n\n"
	}
	golden(t, "service-top.txt", text)
}

func TestServiceMetrics(t *testing.T) {
	var b bytes.Buffer
	writeServiceMetrics(&b, shownServices(t), shownPods(), forwarded(0))
	golden(t, "service-metrics.txt", b.String())
	seen := map[string]bool{}
	for line := range strings.Lines(b.String()) {
		series := line[:strings.LastIndexByte(line, ' ')]
		if seen[series] {
			t.Errorf("twice: %s", series)
		}
		seen[series] = true
	}
}

// Counters that begin anew, and those of a process that was not there before,
// make no rates.
func TestSince(t *testing.T) {
	sum := func(list []pod.ProcessTraffic) (n uint64, in int64) {
		for _, p := range pod.MergeTraffic(list) {
			for _, e := range p.Endpoints {
				n, in = n+e.Total, in+e.In
			}
		}
		return n, in
	}
	if n, in := sum(since(forwarded(20), forwarded(0))); n != 10+3+5 || in != 15_000 {
		t.Errorf("counted anew: %d, %d", n, in)
	}
	if n, _ := sum(since(nil, forwarded(5))); n != 0 {
		t.Errorf("not asked before: %d", n)
	}
	before := forwarded(0)
	before[0].Ports[0].Endpoints = before[0].Ports[0].Endpoints[1:]
	if n, _ := sum(since(before, forwarded(0))); n != 10 {
		t.Errorf("a new endpoint: %d", n)
	}
}

func TestQuantities(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.04: "0.0", 1: "1.0", 99.94: "99.9", 99.96: "100", 12345.6: "12346"} {
		if got := rate(n); got != want {
			t.Errorf("rate %v: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 1023: "1023", 1024: "1.0K", 10200: "10K", 1023.6: "1.0K", 1 << 20: "1.0M", 3.5 * (1 << 30): "3.5G", math.MaxInt64: "8192P"} {
		if got := size(n); got != want {
			t.Errorf("size %v: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{500: "0.5us", 85 * time.Microsecond: "85us", 999_600: "1.0ms", 1200 * time.Microsecond: "1.2ms", 12 * time.Second: "12s"} {
		if got := brief(d); got != want {
			t.Errorf("brief %v: %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "none", time.Hour: "1h", 90 * time.Minute: "1h30m", 90 * time.Second: "1m30s", time.Minute: "1m", 10 * time.Second: "10s", 5 * time.Millisecond: "5ms"} {
		if got := spanOr(d, "none"); got != want {
			t.Errorf("span %v: %s, want %s", d, got, want)
		}
	}
}

// What is drawn fits the terminal, and replaces what was drawn before.
func TestScreen(t *testing.T) {
	var b strings.Builder
	columns, rows := 5, 4
	s := &screen{w: &b, size: func() (int, int) { return columns, rows }}
	for _, step := range []struct {
		lines []string
		want  string
	}{
		{[]string{"ä23456", "b"}, "\rä2345\x1b[K\n\rb\x1b[K\n\x1b[J"},
		{[]string{"1", "2", "3", "4"}, "\x1b[2A\r1\x1b[K\n\r2\x1b[K\n\r... 2\x1b[K\n\x1b[J"},
		{[]string{"1"}, "\x1b[3A\r1\x1b[K\n\x1b[J"},
	} {
		b.Reset()
		if err := s.draw(step.lines); err != nil || b.String() != step.want {
			t.Errorf("%q: %q, %v", step.lines, b.String(), err)
		}
	}
	b.Reset()
	columns, rows = 0, 0
	if s.draw([]string{strings.Repeat("x", 200)}); !strings.Contains(b.String(), strings.Repeat("x", 80)+"\x1b[K") {
		t.Errorf("of unknown size: %q", b.String())
	}
	s = &screen{w: &b, colour: true, size: s.size}
	b.Reset()
	if s.draw([]string{"head", "row"}); b.String() != "\r\x1b[1mhead\x1b[0m\x1b[K\n\rrow\x1b[K\n\x1b[J" {
		t.Errorf("%q", b.String())
	}
}
