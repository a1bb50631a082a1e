package integration

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// rangeManifest has services of both families over a pod that listens on their
// ports itself, on all of its addresses.
const rangeManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-web}
spec:
  clusterIP: 10.96.7.7
  ipFamilyPolicy: RequireDualStack
  selector: {app: X}
  ports: [{name: web, port: 80}, {name: ask, port: 5300, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: X-six}
spec: {ipFamilies: [IPv6], selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, listen, ":80", web, ;, answerDatagrams, ":5300", ask, ;, hold]
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
`

const rangeHeir = `
apiVersion: v1
kind: Pod
metadata: {name: X-heir, labels: {app: LABEL}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, listen, ":80", heir, ;, hold]}]}
`

const rangeClient = `
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`

// Services have addresses of a range that was chosen, and of IPv6: in the pods of
// processes that know nothing of it, and on the host, until the last one goes.
func TestServiceRange(t *testing.T) {
	s, client := newStack(t, rangeManifest, "server"), newStack(t, rangeClient, "client")
	s.newHost()
	client.host = s.host
	client.run()
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16,fd00:96::/112")
	s.run()
	s.receives("web", 1)
	web, six := s.inspect("web").Listeners, s.inspect("six").Listeners
	if len(web) != 4 || web[0].Address != "10.96.7.7:80" || !strings.HasPrefix(web[1].Address, "[fd00:96::") || len(six) != 1 || !strings.HasPrefix(six[0].Address, "[fd00:96::") {
		t.Fatalf("listeners %+v, %+v", web, six)
	}
	for _, addr := range []string{web[0].Address, web[1].Address, six[0].Address} {
		client.sees("web", "client", "connect", addr)
		if got := s.in("server", "connect", addr); got != "web" {
			t.Errorf("%s from the pod itself: %q", addr, got)
		}
		if got := s.hears("", addr, ""); got != "web" {
			t.Errorf("%s from the host: %q", addr, got)
		}
	}
	for _, addr := range []string{web[2].Address, web[3].Address} {
		s.asks(client, addr)
	}
	for _, addr := range []string{"10.96.200.1:80", "10.96.7.7:81", "[fd00:96::ffee]:80"} {
		if got := client.in("client", "connect", addr); got != "ECONNREFUSED" {
			t.Errorf("%s: %q", addr, got)
		}
		if got := s.hears("", addr, ""); !strings.Contains(got, "refused") {
			t.Errorf("%s from the host: %q", addr, got)
		}
	}
	s.resolves(client, web[1].Address, six[0].Address)
	s.onHost(func() error { peapod(t, "pod", "rm", "--force", s.of("server")).ok(); return nil })
	s.unreachable("10.96.7.7:80", web[1].Address)
}

// asks talks UDP with the service.
func (s *stack) asks(client *stack, addr string) {
	s.t.Helper()
	for pod, from := range map[string]*stack{"client": client, "server": s} {
		if got := from.in(pod, "datagram", addr, "hello"); !strings.HasPrefix(got, "ask ") {
			s.t.Errorf("%s by UDP from %s: %q", addr, pod, got)
		}
	}
	c, err := s.dial("udp", "", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if got := talkBy(s.t, c, "hello")[0]; !strings.HasPrefix(got, "ask ") {
		s.t.Errorf("%s by UDP from the host: %q", addr, got)
	}
}

// resolves looks services up, by DNS and in /etc/hosts.
func (s *stack) resolves(client *stack, web, six string) {
	s.t.Helper()
	ip := func(listener string) string { return strings.TrimPrefix(strings.Split(listener, "]")[0], "[") }
	if got := client.in("client", "lookup", "host", s.of("web")+".default.svc.cluster.local."); !strings.Contains(got, "10.96.7.7") || !strings.Contains(got, ip(web)) {
		s.t.Errorf("X-web is at %q", got)
	}
	if got := client.in("client", "lookup", "host", s.of("six")+".default.svc.cluster.local."); got != ip(six) {
		s.t.Errorf("X-six is at %q, want %s", got, ip(six))
	}
	hosts := client.in("client", "cat", "/etc/hosts")
	for _, want := range []string{"10.96.7.7\t" + s.of("web"), ip(web) + "\t" + s.of("web"), ip(six) + "\t" + s.of("six")} {
		if !strings.Contains(hosts, want) {
			s.t.Errorf("/etc/hosts has no %q:\n%s", want, hosts)
		}
	}
}

// unreachable waits until addresses are nobody's on the host.
func (s *stack) unreachable(list ...string) {
	s.t.Helper()
	for _, addr := range list {
		testkit.Until(s.t, func() string {
			if got := s.hears("", addr, ""); !strings.Contains(got, "unreachable") && !strings.Contains(got, "cannot assign") {
				return addr + ": " + got
			}
			return ""
		})
	}
}

// What is connected when a service goes stays so, and its range local until then.
func TestServiceRangeDrains(t *testing.T) {
	s := newStack(t, strings.Replace(rangeManifest, `listen, ":80", web`, `serve, ":80"`, 1), "server")
	s.newHost()
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16")
	s.run()
	s.receives("web", 1)
	c, err := s.dial("tcp", "", "10.96.7.7:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	io.WriteString(c, "hello ")
	text, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	_, alone, _ := strings.Cut(string(text), "[IPv6]")
	_, alone, _ = strings.Cut(alone, "---")
	if err := os.WriteFile(s.path, []byte(alone), 0o644); err != nil {
		t.Fatal(err)
	}
	peapod(t, "pod", "apply", "--prune", s.path).ok()
	testkit.Until(t, func() string {
		if got := s.hears("", "10.96.7.7:80", ""); !strings.Contains(got, "refused") {
			return got
		}
		return ""
	})
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(b), "hello bye") {
		t.Errorf("%q, %v", b, err)
	}
	s.unreachable("10.96.7.7:80")
}

// A process that was told of no range takes over a service of one, with its
// addresses, from one that was killed.
func TestServiceRangeInherited(t *testing.T) {
	s := newStack(t, rangeManifest, "server")
	heir := newStack(t, strings.Replace(rangeHeir, "LABEL", s.name, 1), "heir")
	s.newHost()
	heir.host = s.host
	heir.run()
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16")
	s.run()
	s.receives("web", 2)
	addresses := s.inspect("web").Listeners
	s.kill("server")
	for _, addr := range []string{addresses[0].Address, addresses[1].Address} {
		testkit.Until(t, func() string {
			if got := s.hears("", addr, ""); got != "heir" {
				return addr + ": " + got
			}
			return ""
		})
	}
	s.onHost(func() error { peapod(t, "pod", "rm", "--force", heir.of("heir")).ok(); return nil })
	s.unreachable(addresses[0].Address, addresses[1].Address)
}

// The addresses of a killed process's services go with what clears up after it.
func TestServiceRangeOfKilled(t *testing.T) {
	s := newStack(t, rangeManifest, "server")
	s.newHost()
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16")
	s.run()
	s.kill("server")
	s.onHost(func() error { peapod(t, "pod", "rm", "--force", s.of("server")).ok(); return nil })
	s.unreachable("10.96.7.7:80")
}

// What cannot be is refused before anything is made.
func TestServiceRangeRefused(t *testing.T) {
	s := newStack(t, rangeManifest)
	s.newHost("10.98.3.4")
	for ranges, want := range map[string]string{
		"":                          "stack.yaml:6:14: spec.clusterIP: 10.96.7.7 is not one of 127.96.0.0/16",
		"10.97.0.0/16":              "stack.yaml:6:14: spec.clusterIP: 10.96.7.7 is not one of 10.97.0.0/16",
		"10.96.0.0":                 "--service-cidr",
		"10.96.0.1/16":              "write 10.96.0.0/16",
		"10.96.0.0/16,10.97.0.0/16": "one of the family already",
		"10.96.0.0/14":              "10.98.3.4",
	} {
		t.Setenv("PEAPOD_SERVICE_CIDR", ranges)
		s.starts().wants(1, want)
		s.unreachable("10.96.7.7:80")
	}
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16")
	s.onHost(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("1"), 0) })
	s.starts().wants(1, "stack.yaml:7:19: spec.ipFamilyPolicy", "IPv6 is switched off")
	s.unreachable("10.96.7.7:80")
}

// Where there is no IPv6 a service that only prefers it has none.
func TestServiceSingleStack(t *testing.T) {
	s := newStack(t, strings.ReplaceAll(strings.ReplaceAll(rangeManifest, "RequireDualStack", "PreferDualStack"), "ipFamilies: [IPv6], ", ""), "server")
	s.newHost()
	s.onHost(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("1"), 0) })
	t.Setenv("PEAPOD_SERVICE_CIDR", "10.96.0.0/16")
	s.run()
	if list := s.inspect("web").Listeners; len(list) != 2 {
		t.Errorf("listeners %+v", list)
	}
	s.receives("web", 1)
	if got := s.hears("", "10.96.7.7:80", ""); got != "web" {
		t.Errorf("%q", got)
	}
}

// Ordinary users have no addresses but those that are local everywhere.
func TestServiceRangeRootless(t *testing.T) {
	o := newOrdinary(t)
	service := func(name, policy string) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name}, "spec": map[string]any{
			"ipFamilyPolicy": policy, "selector": map[string]any{"app": name}, "ports": []any{map[string]any{"port": 80}},
		}}
	}
	pod := o.pod("ranged", nil, container{"command": []string{"probe", "hold"}})
	o.granted("pod", "run", "-d", "--service-cidr", "10.96.0.0/16", o.manifest(service("ranged", "SingleStack"), pod)).wants(1, "spec.", "10.96.0.0/16", "run as root")
	o.granted("pod", "run", "-d", o.manifest(service("ranged", "RequireDualStack"), pod)).wants(1, "spec.ipFamilyPolicy", "run as root")
	o.granted("pod", "run", "-d", o.manifest(service("ranged", "PreferDualStack"), pod)).ok()
}
