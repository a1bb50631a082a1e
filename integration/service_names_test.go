package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// idle is a pod in which the probe can be executed.
const idle = `
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`

const namedManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-web}
spec:
  selector: {app: X}
  ports: [{name: http, port: 80, targetPort: web}, {name: admin, port: 81, targetPort: admin}, {name: ask, port: 80, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: X-early}
spec: {selector: {app: X}, publishNotReadyAddresses: true, ports: [{port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-alias}
spec: {type: ExternalName, externalName: X-web.default.svc.cluster.local}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: one
    image: IMAGE
    command: [probe, listen, "127.0.0.1:8080", web, ;, hold]
    ports: [{name: web, containerPort: 8080}]
    readinessProbe: {exec: {command: [probe, need, /tmp/ready]}, periodSeconds: 1}
  - name: two
    image: IMAGE
    command: [probe, listen, "127.0.0.1:8081", admin, ;, hold]
    ports: [{name: admin, containerPort: 8081}]
` + idle

// Ports lead to those that the pod's containers name, of pods that are ready or are
// published before.
func TestServicePorts(t *testing.T) {
	s := runStack(t, namedManifest, "server", "client")
	if got := s.in("client", "connect", "X-web:80", ";", "connect", "X-early:80"); got != "ECONNREFUSED\nweb" {
		t.Errorf("before the pod is ready: %q", got)
	}
	s.in("server", "create", "/tmp/ready")
	s.receives("web", 1)
	if got := s.in("client", "connect", "X-web:80", ";", "connect", "X-web:81", ";", "connect", "X-web:8080"); got != "web\nadmin\nECONNREFUSED" {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]string{
		"_http._tcp.X-web": "X-web.default.svc.cluster.local.:80",
		"_admin._tcp.X-web.default.svc.cluster.local.": "X-web.default.svc.cluster.local.:81",
		"_ask._udp.X-web": "X-web.default.svc.cluster.local.:80",
	} {
		if got := s.in("client", "lookup", "service", name); got != want {
			t.Errorf("SRV %s: %q, want %q", name, got, want)
		}
	}
	ip := s.inspect("web").Service.Spec.ClusterIP
	if got := s.in("client", "lookup", "address", ip); got != "X-web.default.svc.cluster.local." && !strings.Contains(got, "X-web") {
		t.Errorf("PTR: %q", got)
	}
	s.aliases(ip)
}

// aliases looks at the service that is another name.
func (s *stack) aliases(ip string) {
	t := s.t
	t.Helper()
	if got := s.in("client", "lookup", "alias", "X-alias"); got != "X-web.default.svc.cluster.local." {
		t.Errorf("CNAME %q", got)
	}
	if got := s.in("client", "lookup", "host", "X-alias"); got != ip {
		t.Errorf("it stands for %q, want %s", got, ip)
	}
	if got := s.in("client", "connect", "X-alias:81"); got != "admin" {
		t.Errorf("%q", got)
	}
	if got := serviceColumn(t, s.of("alias"), 3); got != s.of("web")+".default.svc.cluster.local" {
		t.Errorf("service ls: %q", got)
	}
}

// Containers find what Kubernetes gives them: variables and /etc/hosts.
func TestServiceEnvironment(t *testing.T) {
	s := runStack(t, namedManifest, "server", "client")
	ip := s.inspect("web").Service.Spec.ClusterIP
	name := strings.ToUpper(strings.ReplaceAll(s.of("web"), "-", "_"))
	for variable, want := range map[string]string{
		"_SERVICE_HOST": ip, "_SERVICE_PORT": "80", "_SERVICE_PORT_HTTP": "80", "_SERVICE_PORT_ADMIN": "81", "_SERVICE_PORT_ASK": "80",
		"_PORT": "tcp://" + ip + ":80", "_PORT_80_TCP": "tcp://" + ip + ":80", "_PORT_80_TCP_PROTO": "tcp", "_PORT_80_TCP_PORT": "80", "_PORT_80_TCP_ADDR": ip,
		"_PORT_81_TCP": "tcp://" + ip + ":81", "_PORT_80_UDP": "udp://" + ip + ":80", "_PORT_80_UDP_PROTO": "udp",
	} {
		if got := s.in("client", "env", name+variable); got != name+variable+"="+want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	hosts := s.in("client", "cat", "/etc/hosts")
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n", "127.0.0.1\tX-client\n", ip + "\tX-web.default.svc.cluster.local X-web\n"} {
		if !strings.Contains(hosts+"\n", want) {
			t.Errorf("no %q in\n%s", want, hosts)
		}
	}
	if strings.Contains(hosts, "X-alias") {
		t.Errorf("a name that stands for another one is in\n%s", hosts)
	}
}

// outsideManifest has services that lead to a program of the host, by each kind of object.
const outsideManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-one}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: X-one}
subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: PORT}]}]
---
apiVersion: v1
kind: Service
metadata: {name: X-two}
spec: {ports: [{name: a, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: X-two-1, labels: {kubernetes.io/service-name: X-two}}
addressType: IPv4
ports: [{name: a, port: PORT}]
endpoints: [{addresses: [127.0.0.1]}, {addresses: [192.0.2.1], conditions: {ready: false}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: X-two-2, labels: {kubernetes.io/service-name: X-two}}
addressType: IPv6
ports: [{name: a, port: PORT}]
endpoints: [{addresses: ["2001:db8::1"], conditions: {terminating: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: X-names}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: X-names, labels: {kubernetes.io/service-name: X-names}}
addressType: IPv4
ports: [{port: 5432}]
endpoints: [{addresses: [192.0.2.5], hostname: first}, {addresses: [192.0.2.6]}]
` + idle

// A pod without a network reaches a program of the host by a service, and programs
// of the host reach pods.
func TestServiceOutside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "from the host")
			c.Close()
		}
	}()
	s := runStack(t, fill(outsideManifest, "PORT", fmt.Sprint(l.Addr().(*net.TCPAddr).Port)), "client")
	if got := s.in("client", "connect", "X-one:80", ";", "connect", "X-two:80"); got != "from the host\nfrom the host" {
		t.Errorf("%q", got)
	}
	var list []string
	for _, e := range s.inspect("two").Endpoints {
		list = append(list, fmt.Sprint(e.Name, " ", e.State, " ", e.Receives))
	}
	if got, want := strings.Join(list, ", "), "127.0.0.1 ready true, 192.0.2.1 not ready false, 2001:db8::1 not ready false"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := s.in("client", "lookup", "host", "X-names", ";", "lookup", "host", "first.X-names"); got != "192.0.2.5 192.0.2.6\n192.0.2.5" {
		t.Errorf("%q", got)
	}
	l.Close()
	if got := s.in("client", "connect", "X-one:80"); got != "ECONNRESET" && got != "" {
		t.Errorf("a program that has gone: %q", got)
	}
}

// Mistakes in slices are told with their places.
func TestEndpointSliceRefused(t *testing.T) {
	for slice, want := range map[string]string{
		"metadata: {name: x}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: []":                                                                                                                                                    "metadata.labels: missing: the label kubernetes.io/service-name",
		"metadata: {name: x, labels: {kubernetes.io/service-name: db}}\naddressType: FQDN\nports: [{port: 80}]\nendpoints: []":                                                                                                          ":4:14: addressType: FQDN is not supported",
		"metadata: {name: x, labels: {kubernetes.io/service-name: db}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [\"::2\"]}]":                                                                                    "endpoints[0].addresses[0]: ::2 is not an address of IPv4",
		"metadata: {name: x, labels: {kubernetes.io/service-name: db}}\naddressType: IPv4\nports: []\nendpoints: [{addresses: [192.0.2.1], nodeName: a}]":                                                                               "endpoints[0].nodeName",
		"metadata: {name: x, labels: {kubernetes.io/service-name: db}}\naddressType: IPv4\nendpoints: [{addresses: []}]":                                                                                                                "endpoints[0].addresses: found 0",
		"metadata: {name: x, labels: {kubernetes.io/service-name: db}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: []\n---\napiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {selector: {a: b}, ports: [{port: 80}]}": "service db has a selector",
	} {
		s := newStack(t, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+slice+idle)
		peapod(t, "pod", "run", "-d", s.path).wants(1, want)
	}
}

// A service whose supervisor is killed is gone at once for the pods that remain,
// names and connections: they get a clear answer.
func TestServiceSupervisorKilled(t *testing.T) {
	s := runStack(t, namedManifest, "server", "client")
	s.in("server", "create", "/tmp/ready")
	s.receives("web", 1)
	other := runStack(t, strings.TrimPrefix(idle, "\n---"), "client")
	name := s.of("web")
	if got := other.in("client", "connect", name+":80"); got != "web" {
		t.Fatalf("%q", got)
	}
	ip := s.inspect("web").Service.Spec.ClusterIP
	s.kill("server")
	testkit.Until(t, func() string {
		got := other.in("client", "connect", ip+":80", ";", "lookup", "host", name+".default.svc.cluster.local.")
		if got != "ECONNREFUSED\nno such host" {
			return got
		}
		return ""
	})
	if hosts := other.in("client", "cat", "/etc/hosts"); strings.Contains(hosts, name) {
		t.Errorf("its name is left in\n%s", hosts)
	}
	for _, pod := range []string{"server", "client"} {
		peapod(t, "pod", "rm", "-f", s.of(pod)).ok()
	}
}
