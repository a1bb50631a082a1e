package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// headless are two pods without a network behind a headless service, one of which
// listens at its own address alone, and clients.
const headless = `
apiVersion: v1
kind: Service
metadata: {name: X-db}
spec: {clusterIP: None, selector: {app: X}, ports: [{name: sql, port: 5432, targetPort: sql}, {name: ask, port: 54, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-all}
spec: {clusterIP: None, selector: {app: X}, publishNotReadyAddresses: true}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: X-pod}
spec:
  replicas: 2
  selector: {matchLabels: {app: X}}
  template:
    metadata: {labels: {app: X}}
    spec:
      terminationGracePeriodSeconds: 0
      subdomain: X-db
      containers:
      - name: a
        image: IMAGE
        command: [probe, listen, "$(NAME):6000", own, ;, listen, "127.0.0.1:5433", $(NAME), ;, answerDatagrams, "0.0.0.0:54", $(NAME), ;, hold]
        env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: sql, containerPort: 5433}, {containerPort: 6000}]
        readinessProbe: {exec: {command: [probe, need, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`

// A headless service names its pods that are ready, each with an address of its
// own although they have no network, and that leads to it from other pods, from
// itself, from the host, and from pods of another command.
func TestServiceHeadless(t *testing.T) {
	s := runStack(t, headless, "pod-0", "pod-1", "client")
	domain := ".default.svc.cluster.local"
	if got := s.in("client", "lookup", "host", "X-db"+domain+"."); got != "no such host" {
		t.Errorf("without pods that are ready: %q", got)
	}
	for _, pod := range []string{"pod-0", "pod-1"} {
		s.in(pod, "create", "/tmp/ready")
	}
	s.receives("db", 2)
	addresses := []string{s.loopback("pod-0"), s.loopback("pod-1")}
	sorted := slices.Sorted(slices.Values(addresses))
	s.sees(strings.Join(sorted, " "), "client", "lookup", "host", "X-db")
	for i, pod := range []string{"pod-0", "pod-1"} {
		name := "X-" + pod + ".X-db"
		for what, want := range map[string]string{
			"host " + name:                            addresses[i],
			"host " + name + domain:                   addresses[i],
			"address " + addresses[i]:                 strings.ReplaceAll(addresses[i], ".", "-") + ".X-all" + domain + ". " + name + domain + ".",
			"host X-" + pod + ".X-all" + domain + ".": "no such host",
			"service _none._tcp.X-db" + domain + ".":  "no such host",
		} {
			if got := s.in("client", append([]string{"lookup"}, strings.Fields(what)...)...); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		for _, from := range []string{"client", "pod-0", "pod-1"} {
			if got := s.in(from, "connect", name+":5433", ";", "connect", addresses[i]+":6000", ";", "connect", addresses[i]+":5432"); got != "X-"+pod+"\nown\nECONNREFUSED" && from != pod {
				t.Errorf("%s from %s: %q", name, from, got)
			}
		}
		if got := s.in("client", "datagram", name+":54", "x"); !strings.HasPrefix(got, "X-"+pod+" ") {
			t.Errorf("UDP: %q", got)
		}
		if got := answer(addresses[i] + ":5433"); got != s.of(pod) {
			t.Errorf("from the host: %q", got)
		}
	}
	if got, want := s.in("client", "lookup", "service", "_sql._tcp.X-db"), fmt.Sprintf("X-pod-0.X-db%[1]s.:5433 X-pod-1.X-db%[1]s.:5433", domain); got != want {
		t.Errorf("SRV %q, want %q", got, want)
	}
	s.headlessElsewhere(addresses)
}

// headlessElsewhere looks from a pod of another command, at what the commands tell,
// and at what a pod that ends leaves.
func (s *stack) headlessElsewhere(addresses []string) {
	t := s.t
	t.Helper()
	other := runStack(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: X-client}\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}\n", "client")
	if got := other.in("client", "connect", s.of("pod-1")+"."+s.of("db")+":5433"); got != s.of("pod-1") {
		t.Errorf("from a pod of another command: %q", got)
	}
	for i, e := range s.inspect("db").Endpoints {
		if e.IP != addresses[i] || e.Hostname != e.Name || !e.Receives {
			t.Errorf("%+v", e)
		}
	}
	if text := peapod(t, "service", "inspect", "-o", "text", s.of("db")).ok(); !strings.Contains(text, addresses[0]) {
		t.Errorf("no %s in\n%s", addresses[0], text)
	}
	peapod(t, "pod", "rm", "-f", s.of("pod-0")).ok()
	s.sees(addresses[1], "client", "lookup", "host", "X-db")
	if got := s.in("client", "connect", addresses[0]+":5433"); got != "ECONNREFUSED" {
		t.Errorf("a pod that has gone: %q", got)
	}
}

// loopback is the address of a pod without a network.
func (s *stack) loopback(pod string) string {
	s.t.Helper()
	r := decode[struct{ Status struct{ LoopbackIP string } }](s.t, peapod(s.t, "pod", "inspect", s.of(pod)).ok())
	ip, err := netip.ParseAddr(r.Status.LoopbackIP)
	if err != nil || !netip.MustParsePrefix("127.97.0.0/16").Contains(ip) {
		s.t.Fatalf("%s has the address %q", pod, r.Status.LoopbackIP)
	}
	return ip.String()
}

// What is not ready is named where the service says so. The pod's own files lead to
// its address by its names.
func TestServiceHeadlessNotReady(t *testing.T) {
	s := runStack(t, headless, "pod-0", "pod-1", "client")
	both := []string{s.loopback("pod-0"), s.loopback("pod-1")}
	slices.Sort(both)
	s.sees(strings.Join(both, " "), "client", "lookup", "host", "X-all")
	hosts := s.in("pod-0", "cat", "/etc/hosts")
	if want := s.loopback("pod-0") + "\tX-pod-0.X-db.default.svc.cluster.local\tX-pod-0"; !strings.Contains(hosts, want) {
		t.Errorf("no %q in\n%s", want, hosts)
	}
	if got := s.in("client", "connect", both[0]+":5433"); !strings.HasPrefix(got, "X-pod-") {
		t.Errorf("a pod that is not ready, at its address: %q", got)
	}
}

// A killed supervisor's addresses are free again, and a pod gets the same one.
func TestServiceHeadlessKilled(t *testing.T) {
	s := runStack(t, headless, "pod-0", "pod-1", "client")
	before := s.loopback("pod-0")
	s.kill("client")
	testkit.Eventually(t, "the pods have ended", func() bool { return peapod(t, "pod", "rm", s.of("client")).code == 0 })
	for _, pod := range []string{"pod-0", "pod-1"} {
		peapod(t, "pod", "rm", s.of(pod)).ok()
	}
	if left := testkit.Poll(func() string { return strings.Join(registered(), " ") }); left != "" {
		t.Errorf("left: %s", left)
	}
	s.run()
	if after := s.loopback("pod-0"); after != before {
		t.Errorf("it is %s, and was %s", after, before)
	}
}

// Pods with a network are named by the addresses that they have there.
func TestServiceHeadlessOnBridge(t *testing.T) {
	s := newStack(t, headless, "pod-0", "pod-1", "client")
	s.newHost()
	s.network = "bridge:sv0,subnet=10.77.0.0/24"
	s.run()
	var addresses []string
	for _, pod := range []string{"pod-0", "pod-1"} {
		s.in(pod, "create", "/tmp/ready")
		r := decode[struct {
			Status struct{ PodIP, LoopbackIP string }
		}](t, peapod(t, "pod", "inspect", s.of(pod)).ok())
		if addresses = append(addresses, r.Status.PodIP); r.Status.LoopbackIP != "" {
			t.Errorf("it has %s besides", r.Status.LoopbackIP)
		}
	}
	slices.Sort(addresses)
	s.sees(strings.Join(addresses, " "), "client", "lookup", "host", "X-db")
	if got := s.in("client", "connect", "X-pod-0.X-db:6000"); got != "own" {
		t.Errorf("%q", got)
	}
	hosts := s.in("pod-0", "cat", "/etc/hosts")
	if want := "\tX-pod-0.X-db.default.svc.cluster.local\tX-pod-0"; !strings.Contains(hosts, "10.77.0.") || !strings.Contains(hosts, want) {
		t.Errorf("no %q in\n%s", want, hosts)
	}
}
