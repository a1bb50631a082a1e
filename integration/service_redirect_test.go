package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// samePortManifest has services whose ports are those of the containers, which
// listen on all addresses; the client's does so too.
const samePortManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-web, annotations: {peapod.dev/idle-timeout: 1h}}
spec: {selector: {app: X}, ports: [{name: tcp, port: 80}, {name: udp, port: 90, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-told, annotations: {peapod.dev/send-proxy-protocol: v1}}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-db}
spec: {clusterIP: None, selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, serve, "0.0.0.0:80", ;, answerDatagrams, "0.0.0.0:90", server, ;, web, "0.0.0.0:81", /tmp/status, ;, hold]
    readinessProbe: {httpGet: {port: 81}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: IMAGE, command: [probe, listen, "0.0.0.0:80", own, ;, answerDatagrams, "0.0.0.0:90", own, ;, hold]}]
`

// denying has peapod run under a filter that refuses a system call, which may have
// a first argument.
func denying(t testing.TB, call string, errno unix.Errno) func(args ...string) *exec.Cmd {
	t.Helper()
	deny, err := testkit.Build("deny")
	if err != nil {
		t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		cmd := command(t, args...)
		cmd.Path, cmd.Args = deny, append([]string{"deny", call, fmt.Sprint(int(errno))}, cmd.Args...)
		return cmd
	}
}

// Where BPF leads nobody to services, nftables do in the pods: for ordinary users,
// and where the kernel does not let root.
func TestServiceRedirect(t *testing.T) {
	t.Run("ordinary", func(t *testing.T) {
		o := newOrdinary(t)
		s := newStackBy(t, o.command, o.home, o.image(), samePortManifest, "server", "client")
		s.redirects()
		s.peapod("pod", "rm", "--force", s.of("server"), s.of("client")).ok()
		o.gone()
	})
	t.Run("root", func(t *testing.T) {
		without := denying(t, fmt.Sprint(unix.SYS_BPF, ":", unix.BPF_LINK_CREATE), unix.EPERM) // cgroup v2 has other uses for BPF
		newStackBy(t, without, t.TempDir(), newRoot(t), samePortManifest, "server", "client").redirects()
	})
}

// redirects runs the stack and looks at what its pods see of the services.
func (s *stack) redirects() {
	t := s.t
	t.Helper()
	s.run()
	web, told := s.at("web", 80), s.at("told", 80)
	udp := s.at("web", 90)
	refused := func(when string) {
		t.Helper()
		for _, pod := range []string{"server", "client"} {
			if got := s.in(pod, "connect", web); got != "ECONNREFUSED" {
				t.Errorf("%s, from the %s: %q", when, pod, got)
			}
			if got := s.in(pod, "datagram", udp, "hello"); got != "ECONNREFUSED" {
				t.Errorf("%s, datagrams from the %s: %q", when, pod, got)
			}
		}
	}
	refused("before the pod is ready")
	s.in("server", "create", "/tmp/status", "200")
	s.receives("web", 1)
	s.sees("hellobye", "client", "ask", web, "hello")
	for _, pod := range []string{"client", "server"} {
		for _, name := range []string{web, "X-web:80", "X-db:80"} {
			if pod == "server" && name == "X-db:80" {
				continue // that is itself
			}
			if got := s.in(pod, "ask", name, "hello"); got != "hellobye" {
				t.Errorf("from the %s by %s: %q", pod, name, got)
			}
		}
		if got := s.in(pod, "datagram", "X-web:90", "hello"); !strings.HasPrefix(got, "server ") || !strings.HasSuffix(got, " hello") {
			t.Errorf("from the %s by UDP: %q", pod, got)
		}
		host, port, _ := strings.Cut(told, ":")
		if got := s.in(pod, "ask", told, "hello"); !strings.HasPrefix(got, "PROXY TCP4 127.0.0.1 "+host+" ") || !strings.HasSuffix(got, " "+port+"\r\nhellobye") {
			t.Errorf("the server of the %s is told %q", pod, got)
		}
	}
	if got := s.in("client", "connect", "127.0.0.1:80"); got != "own" {
		t.Errorf("the client's own server says %q", got)
	}
	if got := s.in("client", "connect", "127.96.255.250:80"); got != "ECONNREFUSED" {
		t.Errorf("no service: %q", got)
	}
	s.goesOn(web, udp)
	s.in("server", "create", "/tmp/status", "503")
	s.receives("web", 0)
	testkit.Eventually(t, "the client is refused", func() bool { return s.in("client", "connect", web) == "ECONNREFUSED" })
	refused("when the pod is not ready any more")
}

// goesOn has connections that stay while the service that they were made to
// changes, and has no endpoints.
func (s *stack) goesOn(web, udp string) {
	t := s.t
	t.Helper()
	client := s.inside("client")
	before := client.talker(web)
	before.says("before")
	if got := before.RemoteAddr().String(); got != web {
		t.Errorf("the peer of who connects to %s is %s", web, got)
	}
	datagrams, err := client.dial("udp", "", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	talkBy(t, datagrams, "one")
	text, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, timeout := range []string{"2h", "3h"} { // other listeners, at the same address
		if err := os.WriteFile(s.path, []byte(strings.Replace(string(text), "idle-timeout: 1h", "idle-timeout: "+timeout, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		s.peapod("pod", "apply", s.path).ok()
		testkit.Until(t, func() string {
			if got := strings.TrimSpace(s.peapod("service", "inspect", s.of("web")).ok()); !strings.Contains(got, timeout) {
				return got
			}
			return ""
		})
		s.sees("hellobye", "client", "ask", web, "hello")
		before.says("after")
		talkBy(t, datagrams, "two") // the same client, whom a new flow serves
	}
	before.Close()
}

// Pods of ordinary users see who connects, from the host and from other pods.
func TestServiceTransparentOrdinary(t *testing.T) {
	o := newOrdinary(t)
	s := newStackBy(t, o.command, o.home, o.image(), `
apiVersion: v1
kind: Service
metadata: {name: X-own, annotations: {peapod.dev/transparent: "true"}}
spec: {selector: {app: X}, ports: [{port: 8081}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: IMAGE, command: [probe, peers, "0.0.0.0:8081", ;, hold], readinessProbe: {tcpSocket: {port: 8081}, periodSeconds: 1}}]
`, "server")
	s.newHost("192.0.2.7")
	s.run()
	s.receives("own", 1)
	own := s.at("own", 8081)
	if got := s.hears("192.0.2.7", own, ""); !strings.HasPrefix(got, "192.0.2.7:") {
		t.Errorf("a client of the host: %q", got)
	}
	if got := s.inside("server").hears("127.5.5.5", own, ""); got != "127.5.5.5" {
		t.Errorf("a client in the pod: %q", got)
	}
}

// Where the kernel has neither, services' own ports are bound, and peapod says what
// that means.
func TestServiceWithoutRedirect(t *testing.T) {
	o := newOrdinary(t)
	s := newStackBy(t, o.command, o.home, o.image(), strings.ReplaceAll(samePortManifest, "0.0.0.0", "127.0.0.1"), "server", "client")
	var r *result
	testkit.WithoutNetfilter(t, func() { r = s.starts() })
	r.ok()
	s.in("server", "create", "/tmp/status", "200")
	s.receives("web", 1)
	s.sees("hellobye", "client", "ask", "X-web:80", "hello")
	if got := s.in("client", "datagram", "X-web:90", "hello"); !strings.HasPrefix(got, "server ") {
		t.Errorf("by UDP: %q", got)
	}
	if got := s.in("client", "listen", "0.0.0.0:80", "x"); got != "EADDRINUSE" {
		t.Errorf("who listens on the service's port: %q", got)
	}
	const want = "nf_tables and nft_reject_inet"
	if log := read(t, s.supervisorOf("server").Log) + read(t, s.supervisorOf("client").Log); strings.Count(log, want) != 1 {
		t.Errorf("the log says %q; want %q once", log, want)
	}
}
