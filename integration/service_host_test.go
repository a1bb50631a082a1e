package integration

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// hostManifest has services of each type that is reached at the host's
// addresses, over one pod that answers by TCP and UDP.
const hostManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-node}
spec:
  type: NodePort
  selector: {app: X}
  ports:
  - {name: web, port: 80, targetPort: http, nodePort: 31234}
  - {name: ask, port: 80, targetPort: 8081, nodePort: 31234, protocol: UDP}
  - {name: auto, port: 81, targetPort: http}
---
apiVersion: v1
kind: Service
metadata: {name: X-all}
spec: {type: LoadBalancer, selector: {app: X}, ports: [{port: 8000, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-one}
spec:
  type: LoadBalancer
  loadBalancerIP: 192.0.2.8
  allocateLoadBalancerNodePorts: false
  selector: {app: X}
  ports: [{name: web, port: 8001, targetPort: http}, {name: ask, port: 8001, targetPort: 8081, protocol: UDP}]
status: {loadBalancer: {}}
---
apiVersion: v1
kind: Service
metadata: {name: X-external}
spec: {selector: {app: X}, externalIPs: [192.0.2.7, "2001:db8::7"], ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, listen, "0.0.0.0:8080", web, ;, answerDatagrams, "0.0.0.0:8081", ask, ;, hold]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
`

// A service is reached at the host's addresses that its type gives it, and at no
// others.
func TestServiceHostAddresses(t *testing.T) {
	s := newStack(t, hostManifest, "server")
	s.newHost("192.0.2.7", "192.0.2.8", "2001:db8::7")
	s.run()
	s.receives("node", 1)
	const refused = "connection refused"
	auto := s.inspect("node").Service.Spec.Ports[2].NodePort
	balanced := s.inspect("all").Service.Spec.Ports[0].NodePort
	for addr, want := range map[string]string{
		"127.0.0.1:31234": "web", "192.0.2.7:31234": "web", "[::1]:31234": "web", "[2001:db8::7]:31234": "web", s.at("node", 80): "web",
		fmt.Sprint("192.0.2.8:", auto): "web", fmt.Sprint("127.0.0.1:", balanced): "web",
		"127.0.0.1:8000": "web", "192.0.2.7:8000": "web", "[2001:db8::7]:8000": "web",
		"192.0.2.8:8001": "web", "192.0.2.7:8001": refused, "127.0.0.1:8001": refused,
		"192.0.2.7:80": "web", "[2001:db8::7]:80": "web", "192.0.2.8:80": refused, "127.0.0.1:80": refused,
	} {
		if got := s.hears("", addr, ""); got != want && !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	for _, addr := range []string{"192.0.2.7:31234", "[::1]:31234", "192.0.2.8:8001"} {
		c, err := s.dial("udp", "", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := talkBy(t, c, "hello")[0]; !strings.HasPrefix(got, "ask ") {
			t.Errorf("UDP %s: %q", addr, got)
		}
		c.Close()
	}
	s.tellsAddresses()
}

// tellsAddresses looks at how the commands tell where the services are reached.
func (s *stack) tellsAddresses() {
	t := s.t
	t.Helper()
	one := s.inspect("one")
	if in := one.Service.Status.LoadBalancer.Ingress; len(in) != 1 || in[0].IP != "192.0.2.8" || len(in[0].Ports) != 2 || in[0].Ports[1].Protocol != "UDP" {
		t.Errorf("ingress %+v", in)
	}
	if in := s.inspect("all").Service.Status.LoadBalancer.Ingress; len(in) != 1 || in[0].IP != "127.0.0.1" { // there is no way to the world
		t.Errorf("ingress %+v", in)
	}
	if p := one.Service.Spec.Ports[0]; p.NodePort != 0 {
		t.Errorf("a node port that nobody wanted: %+v", p)
	}
	var listeners []string
	for _, l := range s.inspect("external").Listeners[1:] {
		listeners = append(listeners, l.Address+" "+l.Field)
	}
	if want := []string{"192.0.2.7:80 spec.externalIPs", "[2001:db8::7]:80 spec.externalIPs"}; !slices.Equal(listeners, want) {
		t.Errorf("listeners %q, want %q", listeners, want)
	}
	for name, want := range map[string]string{"node": "*:31234", "all": "*:8000", "one": "192.0.2.8:8001", "external": "192.0.2.7:80,[2001:db8::7]:80"} {
		if got := serviceColumn(t, s.of(name), 3); !strings.Contains(got, want) {
			t.Errorf("service ls: %s is reached at %s, want %s", name, got, want)
		}
	}
}

// What the host has no address for, or has given away, is told with its place in
// the file before any container starts.
func TestServiceHostAddressRefused(t *testing.T) {
	manifest := func(spec string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: X-web}\nspec: {selector: {app: X}, ports: [{port: 80}], " + spec + "}\n---\n" +
			"apiVersion: v1\nkind: Pod\nmetadata: {name: X-pod}\nspec: {containers: [{name: a, image: IMAGE, command: [probe, hold]}]}\n"
	}
	for spec, want := range map[string]string{
		`externalIPs: [192.0.2.200]`:                         " spec.externalIPs: 192.0.2.200:80: the host has no such address",
		`type: LoadBalancer, loadBalancerIP: 192.0.2.200`:    "192.0.2.200:80: the host has no such address",
		`type: NodePort, externalIPs: [127.0.0.1]`:           "Kubernetes refuses 127.0.0.1 here",
		`type: ClusterIP, allocateLoadBalancerNodePorts: no`: "it has no effect in a service of the type ClusterIP",
	} {
		s := newStack(t, manifest(spec), "pod")
		s.newHost()
		if r := s.starts(); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: status %d, %s", spec, r.code, r.stderr)
		}
	}
}

// A node port that nobody asked for is one that is free.
func TestServiceNodePortTaken(t *testing.T) {
	s := newStack(t, `
apiVersion: v1
kind: Service
metadata: {name: X-web}
spec: {type: NodePort, selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-pod}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`, "pod")
	s.newHost()
	s.run()
	first := s.inspect("web").Service.Spec.Ports[0].NodePort
	peapod(t, "pod", "rm", "-f", s.of("pod")).ok()
	var l net.Listener
	s.onHost(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", first))
		return err
	})
	defer l.Close()
	s.run()
	if second := s.inspect("web").Service.Spec.Ports[0].NodePort; second == first {
		t.Errorf("it is %d again, which is taken", second)
	}
}
