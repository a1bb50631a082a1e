package pod

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// freePort is a port of 127.0.0.1 that nobody listens on just now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// forwards gives a container a host port.
func forwards(c Container, host, inside int) Container {
	c.Ports = append(c.Ports, Port{ContainerPort: inside, HostPort: host, HostIP: "127.0.0.1", Protocol: "TCP"})
	return c
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// ask sends text, ends its direction, and returns what comes back.
func ask(t testing.TB, addr, text string) string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	// Of a connection that was reset meanwhile the read tells.
	if err := c.CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLocalhost(t *testing.T) {
	s := newStage(t)
	s.expect(shared(s.pod(box("a", "serve 127.0.0.1:80; until /shared/done; echo end"), box("b", "ask 127.0.0.1:80 hello; append /shared/done x"))),
		"a: serving", "a: end", "b: hellobye", "b: ok")
}

func TestHostPort(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	sup, out := s.start(s.pod(forwards(box("a", "serve 127.0.0.1:8080; hold"), port, 8080)))
	out.await("a: ready", 1)
	if got := sup.Addrs(); len(got) != 1 || got[0] != local(port) {
		t.Errorf("addresses %q", got)
	}
	// The answer's end comes after the question's: half-close is passed on.
	if got := ask(t, local(port), "hello "); got != "hello bye" {
		t.Errorf("got %q", got)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if got := ask(t, local(port), big); got != big+"bye" {
		t.Errorf("got %d bytes of %d", len(got), len(big)+3)
	}
	sup.Stop(time.Second)
	s.finish(sup)
	if c, err := net.Dial("tcp", local(port)); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// A port may be published that the spec does not, or only for the pod.
func TestPublish(t *testing.T) {
	s := newStage(t)
	first, second := freePort(t), freePort(t)
	a, b := box("a", "serve 127.0.0.1:80; hold"), box("b", "serve 127.0.0.1:81; hold")
	b.Ports = []Port{{ContainerPort: 81, Protocol: "TCP"}}
	p := s.pod(a, b)
	sup, out := s.start(p, func(o *Options) {
		o.Publish = []Port{{HostPort: first, HostIP: "127.0.0.1", ContainerPort: 80, Protocol: "TCP"}, {HostPort: second, HostIP: "127.0.0.1", ContainerPort: 81, Protocol: "TCP"}}
	})
	out.await("a: ready", 1)
	out.await("b: ready", 1)
	for _, port := range []int{first, second} {
		if got := ask(t, local(port), "x "); got != "x bye" {
			t.Errorf("%d: %q", port, got)
		}
	}
	if got := sup.Pod().Spec.Containers[1].Ports; len(got) != 1 || got[0].HostPort != second || p.Spec.Containers[1].Ports[0].HostPort != 0 {
		t.Errorf("ports %+v, the caller's %+v", got, p.Spec.Containers[1].Ports)
	}
}

// A connection may come before the program listens.
func TestHostPortEarly(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	sup, _ := s.start(s.pod(forwards(box("a", "sleep 400; serve 127.0.0.1:80; hold"), port, 80)))
	begin := time.Now()
	if got := ask(t, local(port), "early "); got != "early bye" {
		t.Errorf("got %q", got)
	}
	t.Logf("answered after %s", time.Since(begin))
	sup.Stop(time.Second)
	s.finish(sup)
}

// A port on which nothing listens costs nothing but the connection.
func TestHostPortRefused(t *testing.T) {
	s := newStage(t)
	port, other := freePort(t), freePort(t)
	c := forwards(forwards(box("a", "serve 127.0.0.1:80; hold"), port, 81), other, 80)
	sup, out := s.start(s.pod(c))
	out.await("a: ready", 1)
	refused := dial(t, local(port))
	if got := ask(t, local(other), "x"); got != "xbye" {
		t.Errorf("got %q", got)
	}
	if n, err := refused.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v from a port without a program", n, err)
	}
	sup.Stop(time.Second)
	s.finish(sup)
}

func TestHostPortTaken(t *testing.T) {
	s := newStage(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "%s"}, "spec": {"containers": [
{"name": "a", "image": "./image", "command": ["probe", "hold"], "ports": [
 {"containerPort": 79, "hostPort": %d, "hostIP": "127.0.0.1"},
 {"containerPort": 80, "hostPort": %d, "hostIP": "127.0.0.1"}]}]}}`, s.pod().Metadata.Name, freePort(t), port)
	p, err := Parse(s.path("p.json"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	err = s.refuse(p, s.path("p.json")+":4:", "spec.containers[0].ports[1].hostPort: host port "+local(port)+" is in use by another process (ss -ltnp tells which); choose another")
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v is not EADDRINUSE", err)
	}
}

// A pod of the same store is named; one that has ended has no port.
func TestHostPortOfAnotherPod(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	sup, _ := s.start(s.pod(forwards(box("a", "hold"), port, 80)), func(o *Options) { o.Keep = true })
	name := sup.Pod().Metadata.Name
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", ""} {
		c := forwards(box("b", "hold"), port, 80)
		c.Ports[0].HostIP = ip
		where := strconv.Itoa(port)
		if ip != "" {
			where = net.JoinHostPort(ip, where)
		}
		_, err := Start(testkit.Soon(t), s.pod(c), &Options{Store: s.store})
		if !errors.Is(err, unix.EADDRINUSE) || !strings.HasSuffix(err.Error(), "host port "+where+" is in use by pod "+name+"; choose another") {
			t.Errorf("%v", err)
		}
	}
	sup.Stop(0)
	s.finish(sup)
	if got := s.store.portOwner("x", Port{HostPort: port}); got != "" {
		t.Errorf("pod %s has ended", got)
	}
	if err := s.store.Remove(t.Context(), name, false); err != nil {
		t.Error(err)
	}
}

func TestHostPortNoSuchAddress(t *testing.T) {
	s := newStage(t)
	c := box("a", "hold")
	c.Ports = []Port{{ContainerPort: 80, HostPort: freePort(t), HostIP: "192.0.2.1", Protocol: "TCP"}}
	err := s.refuse(s.pod(c), "spec.containers[0].ports[0].hostPort", "the host has no such address")
	if !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("%v is not EADDRNOTAVAIL", err)
	}
}

// Two pods use the same port inside, and the host port of one can be used
// again when it has gone.
func TestTwoPods(t *testing.T) {
	s := newStage(t)
	ports := [2]int{freePort(t), freePort(t)}
	var pods [2]*Supervisor
	for i, port := range ports {
		p := s.pod(forwards(box("a", "serve 127.0.0.1:80; hold"), port, 80))
		var out *output
		pods[i], out = s.start(p)
		out.await("a: ready", 1)
	}
	for _, port := range ports {
		if got := ask(t, local(port), "x"); got != "xbye" {
			t.Errorf("got %q", got)
		}
	}
	pods[0].Stop(0)
	s.finish(pods[0])
	again, out := s.start(s.pod(forwards(box("a", "serve 127.0.0.1:80; hold"), ports[0], 80)))
	out.await("a: ready", 1)
	for _, port := range ports {
		if got := ask(t, local(port), "x"); got != "xbye" {
			t.Errorf("got %q", got)
		}
	}
	for _, sup := range []*Supervisor{again, pods[1]} {
		sup.Stop(0)
		s.finish(sup)
	}
}

// A client that says nothing and does not go away does not keep the pod.
func TestIdleClient(t *testing.T) {
	s := newStage(t)
	port := freePort(t)
	sup, out := s.start(s.pod(forwards(box("a", "serve 127.0.0.1:80; hold"), port, 80)))
	out.await("a: ready", 1)
	c := dial(t, local(port))
	io.WriteString(c, "x")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	sup.Stop(time.Minute)
	s.finish(sup)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the pod's end took %s", took)
	}
}
