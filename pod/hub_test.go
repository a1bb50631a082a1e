package pod

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
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
	h, err := s.store.joinHub()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(h.leave)
	h.attach("", nil)
	s.t.Cleanup(func() { h.detach("") })
	r := register(s.t, &s.store, text)
	var names []string
	for _, x := range r.records {
		names = append(names, x.Service.Metadata.Name)
	}
	if err := h.await(testkit.Soon(s.t), names); err != nil {
		s.t.Fatal(err)
	}
	return r.records
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
