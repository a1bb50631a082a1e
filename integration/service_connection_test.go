package integration

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

const connectionManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-web, annotations: {peapod.dev/idle-timeout: 1500ms, peapod.dev/keep-alive: 7s, peapod.dev/host-port: "9001"}}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-quiet, annotations: {peapod.dev/keep-alive: "off", peapod.dev/host-port: "9002"}}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: a
    image: IMAGE
    command: [probe, serve, "0.0.0.0:80", ;, COMMAND]
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
`

// A connection on which nothing moves is ended, one that is used is not, nor one
// of a service that says nothing about it. A quiet client is asked now and then
// whether it is there.
func TestServiceIdle(t *testing.T) {
	s := newStack(t, fill(connectionManifest, "COMMAND", "hold"), "server")
	s.newHost("192.0.2.7")
	s.run()
	s.receives("web", 1)
	web, quiet, idle := s.talker("192.0.2.7:9001"), s.talker("192.0.2.7:9002"), s.talker(s.at("web", 80))
	idle.says("a word")
	for range 18 { // longer than the timeout in all
		time.Sleep(100 * time.Millisecond)
		web.says("busy")
		quiet.says("busy")
	}
	idle.ended()
	quiet.says("still there")
	s.keepAlive(quiet, 0, 0)
	asked := s.talker("192.0.2.7:9001")
	asked.says("x")
	s.keepAlive(asked, 2, 7*time.Second)
}

// keepAlive waits until the timer of the proxy's end of a connection is what is
// wanted, 2 where it is that of keep-alive, and is due within two seconds before due.
// It is another one while the last word is not acknowledged (proc_pid_net(5)).
func (s *stack) keepAlive(c talker, timer int, due time.Duration) {
	s.t.Helper()
	_, port, _ := strings.Cut(c.LocalAddr().String(), ":")
	var n int
	fmt.Sscan(port, &n)
	testkit.Until(s.t, func() string {
		var table []byte
		s.onHost(func() (err error) {
			table, err = exec.Command("cat", "/proc/net/tcp", "/proc/net/tcp6").Output()
			return err
		})
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if !strings.HasSuffix(f[2], fmt.Sprintf(":%04X", n)) {
				continue
			}
			var which int
			var ticks int64 // of 10 ms
			if _, err := fmt.Sscanf(f[5], "%x:%x", &which, &ticks); err != nil {
				s.t.Fatal(err)
			}
			if left := time.Duration(ticks) * 10 * time.Millisecond; which != timer || left > due || left < due-2*time.Second {
				return fmt.Sprintf("timer %d, due in %v; want %d, %v", which, left, timer, due)
			}
			return ""
		}
		return fmt.Sprintf("no connection to port %d in\n%s", n, table)
	})
}

// A pod that is told to end gets no new connections, and keeps those that it has
// until the grace period is over.
func TestServiceDrain(t *testing.T) {
	s := newStack(t, fill(connectionManifest, "COMMAND", "stubborn", "peapod.dev/idle-timeout: 1500ms, ", "", "\"9001\"", "127.0.0.1:9001", "\"9002\"", "127.0.0.1:9002"), "server")
	s.newHost()
	s.run()
	s.receives("web", 1)
	own, host := s.talker(s.at("web", 80)), s.talker("127.0.0.1:9001")
	own.says("before")
	host.says("before")
	address := s.at("web", 80)
	stopping := begin(t, command(t, "pod", "stop", "-t", "2", s.of("server")))
	begun := time.Now()
	testkit.Eventually(t, "there are no new connections", func() bool {
		if got := s.hears("", address, ""); !strings.HasSuffix(got, "connection refused") {
			return false
		}
		return strings.Contains(serviceColumn(t, s.of("web"), 5), "0/1")
	})
	if e := s.inspect("web").Endpoints; len(e) != 1 || e[0].State != "ending" || e[0].Receives {
		t.Errorf("%+v", e)
	}
	for time.Since(begun) < time.Second {
		own.says("still")
		host.says("still")
		time.Sleep(50 * time.Millisecond)
	}
	own.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.ReadAll(own); time.Since(begun) < 1500*time.Millisecond {
		t.Errorf("cut %v after the request, %v", time.Since(begun), err)
	}
	host.ended()
	if code := stopping.status(); code != 0 {
		t.Errorf("status %d: %s", code, stopping.seen.String())
	}
}

// A client of a pod whose supervisor is killed learns it at once.
func TestServiceCut(t *testing.T) {
	s := newStack(t, fill(connectionManifest, "COMMAND", "hold", "peapod.dev/idle-timeout: 1500ms, ", ""), "server")
	s.newHost()
	s.run()
	s.receives("web", 1)
	c := s.talker(s.at("web", 80))
	c.says("hello")
	s.kill("server")
	c.ended()
}
