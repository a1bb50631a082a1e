package integration

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

const udpManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-time, annotations: {peapod.dev/idle-timeout: 300ms, peapod.dev/host-port: "ask=127.0.0.1:HOSTPORT"}}
spec:
  type: NodePort
  selector: {app: X}
  ports: [{name: ask, port: 53, targetPort: ask, protocol: UDP}, {name: web, port: 53, targetPort: ask-tcp}]
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, answerDatagrams, "0.0.0.0:5353", server, ;, listen, "127.0.0.1:5354", stream, ;, hold]
    ports: [{name: ask, containerPort: 5353, protocol: UDP}, {name: ask-tcp, containerPort: 5354}]
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`

// freeUDPPort is one that nobody has right now.
func freeUDPPort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// talk sends datagrams by one socket, each after the last answer, and returns
// the answers.
func talk(t testing.TB, addr string, texts ...string) (answers []string) {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return talkBy(t, c, texts...)
}

func talkBy(t testing.TB, c net.Conn, texts ...string) (answers []string) {
	t.Helper()
	b := make([]byte, 64<<10)
	for _, text := range texts {
		io.WriteString(c, text)
		c.SetReadDeadline(time.Now().Add(testkit.Patience))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", c.RemoteAddr(), err)
		}
		answers = append(answers, string(b[:n]))
	}
	return answers
}

// UDP gets to a pod from another one by name and address, and from the host at
// the service's address, its node port and its host port. A client keeps its
// flow until that was idle for too long.
func TestServiceUDP(t *testing.T) {
	host := freeUDPPort(t)
	s := runStack(t, strings.Replace(udpManifest, "HOSTPORT", fmt.Sprint(host), 1), "server", "client")
	s.receives("time", 1)
	for _, addr := range []string{"X-time:53", s.at("time", 53)} {
		if got := s.in("client", "datagram", addr, "hello"); !strings.HasPrefix(got, "server ") || !strings.HasSuffix(got, " hello") {
			t.Errorf("from a pod by %s: %q", addr, got)
		}
	}
	if got := s.in("client", "connect", "X-time:53"); got != "stream" {
		t.Errorf("TCP on the same port: %q", got)
	}
	node := s.inspect("time").Service.Spec.Ports
	if node[0].NodePort < 30000 || node[1].NodePort < 30000 || node[0].NodePort == node[1].NodePort {
		t.Errorf("node ports %+v", node)
	}
	for _, addr := range []string{s.at("time", 53), fmt.Sprint("127.0.0.1:", node[0].NodePort), fmt.Sprint("[::1]:", node[0].NodePort), fmt.Sprint("127.0.0.1:", host)} {
		got := talk(t, addr, "one", strings.Repeat("x", 9000))
		if flow, _, _ := strings.Cut(got[0], " one"); !strings.HasPrefix(flow, "server ") || got[1] != flow+" "+strings.Repeat("x", 9000) {
			t.Errorf("from the host by %s: %.40q", addr, got)
		}
	}
	if got := answer(fmt.Sprint("127.0.0.1:", node[1].NodePort)); got != "stream" {
		t.Errorf("the node port for TCP: %q", got)
	}
	s.flowsEnd()
}

// flowsEnd looks at one flow as the server does: its port stays while there is
// something to say, and is another one after the idle timeout.
func (s *stack) flowsEnd() {
	t := s.t
	t.Helper()
	c, err := net.Dial("udp", s.at("time", 53))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := talkBy(t, c, "x")[0]
	testkit.Eventually(t, "the flow ends", func() bool {
		return decode[topOf](t, peapod(t, "service", "top", "--no-stream", "-i", "0.1", "-o", "json", s.of("time")).ok()).active() == 0
	})
	if again := talkBy(t, c, "x")[0]; again == first {
		t.Errorf("after the idle timeout the server sees the same flow: %q", again)
	}
}

// A port of UDP without a pod refuses, as far as UDP can: the client learns it.
func TestServiceUDPWithoutPods(t *testing.T) {
	s := runStack(t, `
apiVersion: v1
kind: Service
metadata: {name: X-none}
spec: {selector: {app: none}, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`, "client")
	if got := s.in("client", "datagram", "X-none:53", "hello"); got != "ECONNREFUSED" {
		t.Errorf("a service without pods: %q", got)
	}
	if got := s.in("client", "datagram", "127.96.255.250:53", "hello"); got != "ECONNREFUSED" {
		t.Errorf("no service: %q", got)
	}
}
