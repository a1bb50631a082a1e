package pod

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// labelled gives a pod a label by which services find it.
func labelled(p *Pod, app string) *Pod {
	p.Metadata.Labels = map[string]string{"app": app}
	return p
}

// serve is a pod that answers on its port, named http.
func (s *stage) serve(app string, port int) *Pod {
	c := box("a", fmt.Sprintf("serve 0.0.0.0:%d; hold", port))
	c.Ports = []Port{{Name: "http", ContainerPort: port, Protocol: "TCP"}}
	return labelled(s.pod(c), app)
}

// services registers services as a manifest's supervisor does.
func (s *stage) services(text string) []*ServiceRecord {
	s.t.Helper()
	m := parseServices(s.t, text)
	v, err := s.store.serve(m.Services, m.Endpoints, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(v.end)
	return v.registration.records
}

// One address leads to a service from the host, from other pods, and from the
// pod itself, whose own server listens on the service's port.
func TestServiceIsReachedFromEverywhere(t *testing.T) {
	s := newStage(t)
	list := s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`)
	address := list[0].Service.Spec.ClusterIP + ":80"
	_, out := s.start(s.serve("web", 80))
	out.await("a: ready", 1)
	if got := ask(t, address, "from the host "); got != "from the host bye" {
		t.Errorf("%q", got)
	}
	s.expect(s.pod(box("b", "ask "+address+" hello")), "b: hellobye")
	// A pod begins with the variables of the services, and can refer to them.
	c := box("c", "env WEB_PORT_80_TCP_PROTO; ask $(WEB_SERVICE_HOST):$(WEB_SERVICE_PORT) hello")
	s.expect(s.pod(c), "c: WEB_PORT_80_TCP_PROTO=tcp", "c: hellobye")
	off := false
	quiet := s.pod(box("d", "env WEB_SERVICE_HOST"))
	quiet.Spec.EnableServiceLinks = &off
	s.expect(quiet, "d: WEB_SERVICE_HOST=")
}

// What has no service on it is refused, also where a program listens on all
// addresses, and a service without pods is refused soon.
func TestNoService(t *testing.T) {
	s := newStage(t)
	list := s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "none"}, "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}}`)
	s.expect(s.pod(box("a", "listen 0.0.0.0:80 hi; connect 127.0.0.1:80; connect 127.96.99.99:80; connect "+list[0].Service.Spec.ClusterIP+":81")),
		"a: listening", "a: hi", "a: ECONNREFUSED", "a: ECONNREFUSED")
}

// Connections go to all pods that are ready, and to no other.
func TestServiceFollowsPods(t *testing.T) {
	s := newStage(t)
	address := s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`)[0].Service.Spec.ClusterIP + ":80"
	// answers counts who answers.
	answers := func() map[string]int {
		seen := map[string]int{}
		for range 40 {
			c, err := net.Dial("tcp", address)
			if err != nil {
				seen["refused"]++
				continue
			}
			b, err := io.ReadAll(c)
			if c.Close(); err != nil {
				seen["reset"]++
				continue
			}
			seen[string(b)]++
		}
		return seen
	}
	start := func(name string, port int) *Supervisor {
		c := box("a", fmt.Sprintf("listen 0.0.0.0:%d %s; hold", port, name))
		c.Ports = []Port{{Name: "http", ContainerPort: port, Protocol: "TCP"}}
		sup, out := s.start(labelled(s.pod(c), "web"))
		out.await("a: listening", 1)
		return sup
	}
	one := start("one", 80)
	testkit.Eventually(t, "one answers", func() bool { return answers()["one"] == 40 })
	two := start("two", 8080)
	testkit.Eventually(t, "both answer", func() bool { a := answers(); return a["one"] > 5 && a["two"] > 5 })
	one.Stop(0)
	s.finish(one)
	testkit.Eventually(t, "two answers", func() bool { return answers()["two"] == 40 })
	two.Stop(0)
	s.finish(two)
	if got := answers(); got["one"]+got["two"] != 0 {
		t.Errorf("without pods: %v", got)
	}
}

// A service may lead to what is no pod.
func TestServiceWithEndpoints(t *testing.T) {
	s := newStage(t)
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
			io.WriteString(c, "outside")
			c.Close()
		}
	}()
	list := s.services(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}}
{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": %d}]}]}`, l.Addr().(*net.TCPAddr).Port))
	s.expect(s.pod(box("a", "connect "+list[0].Service.Spec.ClusterIP+":5432")), "a: outside")
}

// echoUDP answers each datagram with what it got, behind a name.
func echoUDP(t *testing.T, name string) (port int) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			c.WriteToUDP(append([]byte(name+" "), buffer[:n]...), from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func askUDP(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, text)
	buffer := make([]byte, 2048)
	n, err := c.Read(buffer)
	if err != nil {
		t.Errorf("%s: %v", addr, err)
	}
	return string(buffer[:n])
}

// The host's addresses of a service, by TCP and UDP.
func TestServiceOnTheHost(t *testing.T) {
	s := newStage(t)
	_, out := s.start(s.serve("web", 8080))
	out.await("a: ready", 1)
	node, host, udp := freePort(t), freePort(t), echoUDP(t, "udp")
	if node < minNodePort || node > maxNodePort {
		node = 30321
	}
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "annotations": {"peapod.dev/host-port": "127.0.0.1:%d"}},
 "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "nodePort": %d}]}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}
{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "dns"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": %d, "protocol": "UDP"}]}]}`, host, node, udp)
	list := s.services(text)
	for _, addr := range []string{local(node), local(host), list[0].Service.Spec.ClusterIP + ":80"} {
		if got := ask(t, addr, "x "); got != "x bye" {
			t.Errorf("%s: %q", addr, got)
		}
	}
	var addresses []string
	for _, l := range list[0].Listeners() {
		addresses = append(addresses, l.Address)
	}
	if want := []string{list[0].Service.Spec.ClusterIP + ":80", fmt.Sprintf("[::]:%d", node), local(host)}; !slices.Equal(addresses, want) {
		t.Errorf("addresses %q, want %q", addresses, want)
	}
	if got := askUDP(t, list[1].Service.Spec.ClusterIP+":53", "question"); got != "udp question" {
		t.Errorf("%q", got)
	}
	// An address that is taken keeps the services from being there at all.
	m := parseServices(t, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "second", "annotations": {"peapod.dev/host-port": "127.0.0.1:%d"}}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}`, host))
	if _, err := s.store.serve(m.Services, nil, ""); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "test.yaml:1:") {
		t.Errorf("an address that is taken: %v", err)
	}
	if _, err := s.store.GetService("second"); !errors.Is(err, ErrServiceNotExist) {
		t.Errorf("what failed is there: %v", err)
	}
}

// Containers find services by name, also those that come later.
func TestServiceNames(t *testing.T) {
	s := newStage(t)
	s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`)
	c := box("a", "listen 0.0.0.0:80 web; hold")
	c.Ports = []Port{{Name: "http", ContainerPort: 80, Protocol: "TCP"}}
	_, out := s.start(labelled(s.pod(c), "web"))
	out.await("a: listening", 1)
	s.expect(s.pod(box("b", "connect web:80; connect web.default:80; connect web.default.svc.cluster.local:80; cat /etc/resolv.conf")),
		"b: web", "b: web", "b: web", "b: nameserver 127.96.0.10", "b: search default.svc.cluster.local svc.cluster.local cluster.local", "b: options ndots:5")

	late := shared(s.pod(box("c", "echo begun; until /shared/go; connect late:80; connect late.default.svc:80; cat /etc/hosts")))
	sup, out := s.start(late)
	out.await("c: begun", 1)
	s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "late"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`)
	if err := os.WriteFile(filepath.Join(s.data(late.Metadata.Name), "volumes/shared/go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if result := s.finish(sup); result != (Result{}) {
		t.Errorf("%+v", result)
	}
	if text := strings.Join(out.all(), "\n"); strings.Count(text, "c: web") != 2 || !strings.Contains(text, "late.default.svc.cluster.local late") {
		t.Errorf("%s", text)
	}
}

func TestResolvConf(t *testing.T) {
	host := "search example.com\nnameserver 192.0.2.1\n"
	for spec, want := range map[string]string{
		`"hostname": "x"`: "nameserver 127.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local example.com\noptions ndots:5\n",
		`"dnsConfig": {"nameservers": ["192.0.2.7"], "searches": ["x.org"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}`: "nameserver 127.96.0.10\nnameserver 192.0.2.7\n" +
			"search default.svc.cluster.local svc.cluster.local cluster.local example.com x.org\noptions ndots:5 ndots:2 edns0\n",
		`"dnsPolicy": "Default"`: host,
		`"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.7"]}`: "nameserver 192.0.2.7\n",
	} {
		p, err := Parse("test.json", []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "x"}], `+spec+`}}`))
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if got := string(p.resolvConf(p.servesDNS(), []byte(host))); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", spec, got, want)
		}
	}
}

// The services of a manifest are there before its pods, and go with the last.
func TestManifestWithServices(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "annotations": {"peapod.dev/host-port": "127.0.0.1:%d"}}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`, port)
	m := parseServices(t, text)
	c := box("client", "connect web:80; connect $(WEB_SERVICE_HOST):80")
	server := box("server", "listen 0.0.0.0:80 hi; hold")
	server.Ports = []Port{{Name: "http", ContainerPort: 80, Protocol: "TCP"}}
	m.Pods = []*Pod{labelled(s.pod(server), "web")}
	g, out := s.group(m)
	out.await(m.Pods[0].Metadata.Name+"/server: listening", 1)
	if got := ask(t, local(port), ""); got != "hi" {
		t.Errorf("%q", got)
	}
	s.expect(s.pod(c), "client: hi", "client: hi")
	g.Stop(0)
	await(t, g.Done(), "the group")
	if list, err := s.store.ListServices(); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if c, err := net.Dial("tcp", local(port)); err == nil {
		c.Close()
		t.Error("the host port is still open")
	}
	// Another process's service keeps the manifest from starting.
	s.services(text)
	if _, err := StartManifest(testkit.Soon(t), m, &Options{Store: s.store}); !errors.Is(err, ErrServiceExist) {
		t.Errorf("a service that is there: %v", err)
	}
}

// The client's address is not lost: by the PROXY protocol in and out, and by
// connections that come from it.
func TestClientAddress(t *testing.T) {
	s := newStage(t)
	port, second := freePort(t), freePort(t)
	c := box("a", "serve 127.0.0.1:8080; peers 127.0.0.1:8081; hold")
	_, out := s.start(labelled(s.pod(c), "web"))
	out.await("a: ready", 1)
	s.services(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "header", "annotations": {"peapod.dev/send-proxy-protocol": "v1", "peapod.dev/accept-proxy-protocol": "true", "peapod.dev/host-port": "127.0.0.1:%d"}},
  "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "plain", "annotations": {"peapod.dev/transparent": "true", "peapod.dev/accept-proxy-protocol": "true", "peapod.dev/host-port": "127.0.0.1:%d"}},
  "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8081}]}}`, port, second))
	const header = "PROXY TCP4 192.0.2.55 192.0.2.1 4711 80\r\n"
	if got := ask(t, local(port), header+"hello "); !strings.HasPrefix(got, "PROXY TCP4 192.0.2.55 127.0.0.1 4711 ") || !strings.HasSuffix(got, "\r\nhello bye") {
		t.Errorf("%q", got)
	}
	if got := ask(t, local(second), header); !strings.HasPrefix(got, "192.0.2.55:") {
		t.Errorf("the container sees %q", got)
	}
	// Inside nobody sends a header.
	s.expect(s.pod(box("b", "connect plain:80")), "b: 127.0.0.1")
}
