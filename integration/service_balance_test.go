package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// balanced is a service with two pods; ANNOTATIONS and SPEC are for the test to fill.
const balanced = `
apiVersion: v1
kind: Service
metadata: {name: X-web, annotations: {ANNOTATIONS}}
spec: {selector: {app: X}, ports: [{port: 80, targetPort: http}], SPEC}
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
      containers:
      - name: a
        image: IMAGE
        command: [probe, listen, "0.0.0.0:8080", $(NAME), ;, hold]
        env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
`

func fill(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// A client is led to the pod that it had, others to other ones, until it was away
// for the timeout.
func TestServiceAffinity(t *testing.T) {
	s := newStack(t, fill(balanced, "ANNOTATIONS", "peapod.dev/balance: round-robin",
		"SPEC", "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}"), "pod-0", "pod-1")
	s.newHost("192.0.2.7", "192.0.2.8")
	s.run()
	s.receives("web", 2)
	web := s.at("web", 80)
	one, other := s.hears("192.0.2.7", web, ""), s.hears("192.0.2.8", web, "")
	if !strings.HasPrefix(one, s.of("pod-")) || !strings.HasPrefix(other, s.of("pod-")) || one == other {
		t.Fatalf("%q and %q", one, other)
	}
	begin := time.Now()
	for range 10 {
		if a, b := s.hears("192.0.2.7", web, ""), s.hears("192.0.2.8", web, ""); (a != one || b != other) && time.Since(begin) < time.Second {
			t.Fatalf("%q and %q, before %q and %q", a, b, one, other)
		}
		begin = time.Now()
	}
	testkit.Eventually(t, "a client that was away is led to another pod", func() bool {
		time.Sleep(1100 * time.Millisecond) // the absence that is tested
		return s.hears("192.0.2.7", web, "") != one
	})
}

// A pod that has become ready gets few connections at first, and its share later.
func TestServiceSlowStart(t *testing.T) {
	s := newStack(t, fill(balanced, "ANNOTATIONS", "peapod.dev/slow-start: 1h", "SPEC", "", "replicas: 2", "replicas: 1")+`
---
apiVersion: v1
kind: Service
metadata: {name: X-soon, annotations: {peapod.dev/slow-start: 500ms}}
spec: {selector: {app: X}, ports: [{port: 80, targetPort: http}]}
`, "pod-0")
	s.run()
	s.receives("web", 1)
	late := newStack(t, strings.ReplaceAll(`
apiVersion: v1
kind: Pod
metadata: {name: X-late, labels: {app: Y}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: IMAGE, command: [probe, listen, "0.0.0.0:8080", late, ;, hold], ports: [{name: http, containerPort: 8080}]}]
`, "app: Y", "app: "+s.name), "late")
	web, soon := s.at("web", 80), s.at("soon", 80)
	lates := func(addr string) (n int) {
		for range 100 {
			if answer(addr) == "late" {
				n++
			}
		}
		return n
	}
	lates(web) // a service's first pods begin together: the old one is one that was there
	late.run()
	s.receives("web", 2)
	testkit.Eventually(t, "it gets its share where the time is over", func() bool { return lates(soon) > 30 })
	if n := lates(web); n > 25 {
		t.Errorf("where the time has just begun it gets %d of 100", n)
	}
}

// talker is a connection that was made, which the server may have answered.
type talker struct {
	t testing.TB
	net.Conn
}

func (s *stack) talker(addr string) talker {
	s.t.Helper()
	c, err := s.dial("tcp", "", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return talker{s.t, c}
}

// says sends a word and waits until it comes back.
func (c talker) says(word string) {
	c.t.Helper()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	io.WriteString(c, word)
	b := make([]byte, len(word))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != word {
		c.t.Fatalf("%q came back, %v", b, err)
	}
}

// turnedAway connects and is cut off at once, which may be before it knows that it
// is connected.
func (s *stack) turnedAway(addr string) {
	s.t.Helper()
	c, err := s.dial("tcp", "", addr)
	switch {
	case errors.Is(err, unix.ECONNRESET):
		return
	case err != nil:
		s.t.Fatal(err)
	}
	defer c.Close()
	talker{s.t, c}.ended()
}

// ended waits for the end, by a reset or in order.
func (c talker) ended() {
	c.t.Helper()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
		c.t.Fatalf("%q, %v", b, err)
	}
}

func (s *stack) top(service string) topOf {
	s.t.Helper()
	return decode[topOf](s.t, peapod(s.t, "service", "top", "--no-stream", "-i", "0.1", "-o", "json", s.of(service)).ok())
}

// A pod has no more connections than it may; as many clients as the queue has
// places wait, and others are turned away at once.
func TestServiceMaxConnections(t *testing.T) {
	s := runStack(t, `
apiVersion: v1
kind: Service
metadata: {name: X-queue, annotations: {peapod.dev/max-connections: "1", peapod.dev/queue: "1"}}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-strict, annotations: {peapod.dev/max-connections: "2"}}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: IMAGE, command: [probe, serve, "0.0.0.0:80", ;, hold], readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}]
`, "server")
	s.receives("queue", 1)
	queue := s.at("queue", 80)
	first := s.talker(queue)
	first.says("first")
	second := s.talker(queue)
	testkit.Until(t, func() string {
		if top := s.top("queue"); top.Ports[0].Waiting != 1 || top.Ports[0].Active != 1 {
			return fmt.Sprintf("%+v", top)
		}
		return ""
	})
	s.turnedAway(queue)
	first.Close()
	second.says("second")

	strict := s.at("strict", 80)
	a, b := s.talker(strict), s.talker(strict)
	a.says("a")
	b.says("b")
	s.turnedAway(strict)
	a.Close()
	testkit.Eventually(t, "there is room again", func() bool { return s.hears("", strict, "c") == "cbye" })
}
