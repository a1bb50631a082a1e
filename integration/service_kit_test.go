package integration

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// stack is a manifest that runs, by names that are the test's own.
type stack struct {
	t    testing.TB
	name string // of all that is in it, at the beginning
	path string
	host *os.File // its network, where that is not the one that this process is in

	network string // of the pods

	command func(args ...string) *exec.Cmd // runs peapod
}

// newStack writes a manifest: in its text X- stands for the stack's name and a
// dash, "app: X" for a label that is its own, IMAGE for a root with the probe. The
// pods are those called X-POD.
func newStack(t testing.TB, text string, pods ...string) *stack {
	t.Helper()
	return newStackBy(t, func(args ...string) *exec.Cmd { return command(t, args...) }, t.TempDir(), newRoot(t), text, pods...)
}

// newStackBy writes a manifest into a directory, for somebody who runs peapod so
// and has an image.
func newStackBy(t testing.TB, command func(args ...string) *exec.Cmd, dir, image, text string, pods ...string) *stack {
	t.Helper()
	s := &stack{t: t, name: newName(t), path: filepath.Join(dir, "stack.yaml"), network: "none", command: command}
	t.Cleanup(func() {
		for _, pod := range pods {
			if t.Failed() {
				r := s.peapod("pod", "logs", "--tail", "10", s.of(pod))
				t.Logf("%s:\n%s%s", pod, r.stdout, r.stderr)
			}
			s.peapod("pod", "rm", "--force", s.of(pod)).ok()
		}
	})
	text = strings.NewReplacer("X-", s.name+"-", "app: X", "app: "+s.name, "IMAGE", image).Replace(text)
	if err := os.WriteFile(s.path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) peapod(args ...string) *result {
	s.t.Helper()
	return finish(s.t, s.command(args...))
}

// runStack runs one until its pods listen.
func runStack(t testing.TB, text string, pods ...string) *stack {
	t.Helper()
	s := newStack(t, text, pods...)
	s.run()
	return s
}

func (s *stack) run() {
	s.t.Helper()
	s.starts().ok()
}

// starts is what running the manifest comes to.
func (s *stack) starts() (r *result) {
	s.t.Helper()
	start := func() error {
		r = s.peapod("pod", "run", "-d", "--network", s.network, s.path)
		return nil
	}
	if s.host == nil {
		start()
	} else {
		s.onHost(start)
	}
	return r
}

// onHost does something in the stack's host network.
func (s *stack) onHost(f func() error) {
	s.t.Helper()
	if err := namespaces.Do(s.host, f); err != nil {
		s.t.Fatal(err)
	}
}

// newHost gives the stack a host network of its own, with addresses beside those
// of lo.
func (s *stack) newHost(addresses ...string) {
	s.t.Helper()
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { set.Close() })
	s.host = set.File(namespaces.Network)
	s.onHost(func() error {
		c, err := netlink.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer c.Close()
		for _, text := range addresses {
			ip := netip.MustParseAddr(text)
			family, loopback := byte(unix.AF_INET), 1
			if ip.Is6() {
				family = unix.AF_INET6
			}
			// struct ifaddrmsg: family, length of the prefix, flags, scope, index.
			header := []byte{family, byte(ip.BitLen()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE, byte(loopback), 0, 0, 0}
			if err := c.Do(netlink.New(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, header).Attr(unix.IFA_LOCAL, ip.AsSlice()).Attr(unix.IFA_ADDRESS, ip.AsSlice())); err != nil {
				return err
			}
		}
		return nil
	})
}

// dial connects on the stack's host, from an address of it, or any if that is "".
func (s *stack) dial(network, from, to string) (c net.Conn, err error) {
	s.t.Helper()
	d := net.Dialer{Timeout: testkit.Patience}
	if from != "" {
		ip := net.ParseIP(from)
		d.LocalAddr = &net.TCPAddr{IP: ip}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: ip}
		}
	}
	if s.host == nil {
		return d.Dial(network, to)
	}
	s.onHost(func() error {
		c, err = d.Dial(network, to)
		return nil
	})
	return c, err
}

// hears connects on the stack's host and returns what the server says, or the
// error.
func (s *stack) hears(from, to, say string) string {
	s.t.Helper()
	c, err := s.dial("tcp", from, to)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	io.WriteString(c, say)
	c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil {
		return string(b) + err.Error()
	}
	return string(b)
}

// podSupervisor is what a pod's status tells of its supervisor.
type podSupervisor struct {
	PID, Netns int
	Log        string
}

func (s *stack) supervisorOf(pod string) podSupervisor {
	s.t.Helper()
	return decode[struct {
		Status struct{ Supervisor podSupervisor }
	}](s.t, s.peapod("pod", "inspect", s.of(pod)).ok()).Status.Supervisor
}

// inside is the stack with a pod's network in the place of the host's.
func (s *stack) inside(pod string) *stack {
	s.t.Helper()
	status := s.supervisorOf(pod)
	netns, err := namespaces.Open(namespaces.Network, fmt.Sprintf("/proc/%d/fd/%d", status.PID, status.Netns))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { netns.Close() })
	other := *s
	other.host = netns
	return &other
}

// of is the full name of a pod or service.
func (s *stack) of(name string) string { return s.name + "-" + name }

// in has the probe do something in a pod and returns what it prints.
func (s *stack) in(pod string, operations ...string) string {
	s.t.Helper()
	args := append([]string{"pod", "exec", s.of(pod), "--", "probe"}, operations...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "X-", s.name+"-")
	}
	return strings.ReplaceAll(s.peapod(args...).ok(), s.name+"-", "X-")
}

// sees waits until what the probe does in a pod prints what is wanted.
func (s *stack) sees(want, pod string, operations ...string) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		if got := s.in(pod, operations...); got != want {
			return fmt.Sprintf("%s, %q: %q, want %q", pod, operations, got, want)
		}
		return ""
	})
}

// inspect is the service as peapod tells it.
func (s *stack) inspect(service string) inspectedService {
	s.t.Helper()
	return decode[[]inspectedService](s.t, s.peapod("service", "inspect", s.of(service)).ok())[0]
}

// at is the service's own address with a port.
func (s *stack) at(service string, port int) string {
	s.t.Helper()
	return net.JoinHostPort(s.inspect(service).Service.Spec.ClusterIP, fmt.Sprint(port))
}

// receives waits until a number of endpoints receive connections.
func (s *stack) receives(service string, n int) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		count := 0
		for _, e := range s.inspect(service).Endpoints {
			if e.Receives {
				count++
			}
		}
		if count != n {
			return fmt.Sprintf("%d endpoints of %s receive connections, want %d", count, service, n)
		}
		return ""
	})
}

// inspectedService is what is used of peapod service inspect.
type inspectedService struct {
	Service struct {
		Spec struct {
			ClusterIP string
			Ports     []struct{ Port, NodePort int }
		}
		Status struct {
			LoadBalancer struct {
				Ingress []struct {
					IP    string
					Ports []struct {
						Port     int
						Protocol string
					}
				}
			}
		}
	}
	Listeners []struct{ Address, Protocol, Field string }
	Endpoints []struct {
		Name, State, Reason, IP, Hostname string
		Receives                          bool
	}
}

// kill kills a pod's supervisor and tells when that was.
func (s *stack) kill(pod string) (at time.Time) {
	s.t.Helper()
	id, err := (&podTrace{name: s.of(pod)}).supervisor()
	if err != nil {
		s.t.Fatal(err)
	}
	at = time.Now()
	if err := unix.Kill(id.PID, unix.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	return at
}
