package networks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
)

var redirectRanges = []netip.Prefix{netip.MustParsePrefix("127.96.0.0/16"), netip.MustParsePrefix("fd70:6561:706f:6400::/112")}

// inPod calls f on a thread in a pod's network.
func inPod(t testing.TB, pod *os.File, f func() error) {
	t.Helper()
	if err := namespaces.Do(pod, f); err != nil {
		t.Fatal(err)
	}
}

func openRedirect(t testing.TB, pod *os.File) *Redirect {
	t.Helper()
	fd, err := namespaces.Socket(pod, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRedirect(fd)
	if errors.Is(err, ErrUnsupported) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for _, p := range redirectRanges {
		if p.Addr().Is6() {
			if err := AddLocal(pod, p, namespaces.Do); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Cover(p, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// free lets an address be bound that is no interface's, and a port that a listener
// has that is about to go.
func free(_, _ string, c syscall.RawConn) (err error) {
	e := c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1) // refused for IPv4
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(e, err)
}

// server echoes what it gets, with its name before.
type server struct {
	name string
	addr netip.AddrPort
	io.Closer
	syscall.Conn
}

func (s server) conn() syscall.Conn { return s.Conn }

func serveTCP(t testing.TB, pod *os.File, name, addr string) (s server) {
	t.Helper()
	inPod(t, pod, func() error {
		l, err := (&net.ListenConfig{Control: free}).Listen(t.Context(), "tcp", addr)
		if err != nil {
			return err
		}
		s = server{name, l.Addr().(*net.TCPAddr).AddrPort(), l, l.(*net.TCPListener)}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				// The client's end may not reach it, when the table has gone.
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				go func() {
					defer c.Close()
					defer stop()
					b := make([]byte, 100)
					for {
						n, err := c.Read(b)
						if err != nil {
							return
						}
						fmt.Fprintf(c, "%s %s", name, b[:n])
					}
				}()
			}
		}()
		return nil
	})
	t.Cleanup(func() { s.Close() })
	return s
}

func serveUDP(t testing.TB, pod *os.File, name, addr string) (s server) {
	t.Helper()
	inPod(t, pod, func() error {
		l, err := (&net.ListenConfig{Control: free}).ListenPacket(t.Context(), "udp", addr)
		if err != nil {
			return err
		}
		s = server{name, l.LocalAddr().(*net.UDPAddr).AddrPort(), l, l.(*net.UDPConn)}
		go func() {
			b := make([]byte, 100)
			for {
				n, from, err := l.ReadFrom(b)
				if err != nil {
					return
				}
				l.WriteTo(fmt.Appendf(nil, "%s %s", name, b[:n]), from)
			}
		}()
		return nil
	})
	t.Cleanup(func() { s.Close() })
	return s
}

// says sends a word by a connection, or a new one, and returns the answer.
func says(t testing.TB, pod *os.File, network, addr string) string {
	t.Helper()
	c, err := dialIn(t, pod, network, addr)
	if err != nil {
		return refusal(err)
	}
	defer c.Close()
	return saysBy(c)
}

func dialIn(t testing.TB, pod *os.File, network, addr string) (c net.Conn, err error) {
	t.Helper()
	inPod(t, pod, func() error {
		c, err = net.DialTimeout(network, addr, testkit.Patience)
		return nil
	})
	return c, err
}

func saysBy(c net.Conn) string {
	c.SetDeadline(time.Now().Add(testkit.Patience))
	b := make([]byte, 100)
	if _, err := io.WriteString(c, "x"); err != nil {
		return refusal(err)
	}
	n, err := c.Read(b)
	if err != nil {
		return refusal(err)
	}
	return string(b[:n])
}

func refusal(err error) string {
	if errors.Is(err, unix.ECONNREFUSED) {
		return "refused"
	}
	return err.Error()
}

// held is what a service of a test has.
func held(t testing.TB, r *Redirect, protocol int, addr string, s server) (release func() error) {
	t.Helper()
	release, err := r.Hold(protocol, netip.MustParseAddrPort(addr), s.conn())
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// A program that has the service's port, of all addresses or that one, has nothing to
// do with the service, which is led to another port, or refused at once.
func TestRedirect(t *testing.T) {
	for _, c := range []struct{ network, addr, bound, all string }{
		{"tcp", "127.96.1.1:80", "127.96.1.1:0", "0.0.0.0:80"},
		{"tcp", "[fd70:6561:706f:6400::1]:80", "[fd70:6561:706f:6400::1]:0", "[fd70:6561:706f:6400::1]:80"},
		{"udp", "127.96.1.1:53", "127.96.1.1:0", "127.96.1.1:53"},
		{"udp", "[fd70:6561:706f:6400::1]:53", "[fd70:6561:706f:6400::1]:0", "[fd70:6561:706f:6400::1]:53"},
	} {
		t.Run(c.network+" "+c.addr, func(t *testing.T) {
			pod := newPod(t)
			r := openRedirect(t, pod)
			serve, protocol := serveTCP, unix.IPPROTO_TCP
			if c.network == "udp" {
				serve, protocol = serveUDP, unix.IPPROTO_UDP
			}
			at := netip.MustParseAddrPort(c.addr)
			serve(t, pod, "other", c.all)
			s := serve(t, pod, "service", c.bound)
			says := func(when, want string) {
				t.Helper()
				if got := says(t, pod, c.network, c.addr); got != want {
					t.Errorf("%s: %q, want %q", when, got, want)
				}
			}
			says("no service", "refused")
			if err := r.Lead(protocol, at, s.conn()); err == nil {
				t.Error("led without being held")
			}
			release := held(t, r, protocol, c.addr, s)
			says("without endpoints", "refused")
			for range 2 {
				if err := r.Lead(protocol, at, s.conn()); err != nil {
					t.Fatal(err)
				}
			}
			says("with endpoints", "service x")
			open, err := dialIn(t, pod, c.network, c.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			if got := saysBy(open); got != "service x" || open.RemoteAddr().String() != c.addr {
				t.Errorf("%q from %s", got, open.RemoteAddr())
			}
			for range 2 {
				if err := r.Drop(protocol, at); err != nil {
					t.Fatal(err)
				}
			}
			says("without endpoints again", "refused")
			want := "service x" // what is open stays
			if c.network == "udp" {
				want = "refused"
			}
			if got := saysBy(open); got != want {
				t.Errorf("what is open: %q, want %q", got, want)
			}
			if err := r.Lead(protocol, at, s.conn()); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(release(), r.Drop(protocol, at)); err != nil {
				t.Error(err)
			}
			says("when it has gone", "refused")
			r.Close()
			says("without a table", "other x")
			if err := r.Drop(protocol, at); err != nil {
				t.Error("after the end:", err)
			}
		})
	}
}

// Connections stay while another socket follows that has the same port, whichever
// leaves first.
func TestRedirectFollows(t *testing.T) {
	pod := newPod(t)
	r := openRedirect(t, pod)
	const addr = "127.96.1.1:80"
	at := netip.MustParseAddrPort(addr)
	if port := r.Bound(at); port != 0 {
		t.Errorf("bound to %d before anything is", port)
	}
	first := serveTCP(t, pod, "first", "127.96.1.1:0")
	release := held(t, r, unix.IPPROTO_TCP, addr, first)
	if err := r.Lead(unix.IPPROTO_TCP, at, first.conn()); err != nil {
		t.Fatal(err)
	}
	open, err := dialIn(t, pod, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	saysBy(open)
	r.Drop(unix.IPPROTO_TCP, at)
	if port := r.Bound(at); port != first.addr.Port() {
		t.Fatalf("bound to %d, want %d", port, first.addr.Port())
	}
	second := serveTCP(t, pod, "second", first.addr.String())
	first.Close()
	releaseSecond := held(t, r, unix.IPPROTO_TCP, addr, second)
	if err := r.Lead(unix.IPPROTO_TCP, at, second.conn()); err != nil {
		t.Fatal(err)
	}
	if a, b := saysBy(open), says(t, pod, "tcp", addr); a != "first x" || b != "second x" {
		t.Errorf("the connection %q, a new one %q", a, b)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if got := says(t, pod, "tcp", addr); got != "second x" {
		t.Errorf("without the first: %q", got)
	}
	third := serveTCP(t, pod, "third", "127.96.1.1:0")
	if _, err := r.Hold(unix.IPPROTO_TCP, at, third.conn()); !errors.Is(err, ErrExist) {
		t.Errorf("one of another port: %v", err)
	}
	if err := releaseSecond(); err != nil || r.Bound(at) != 0 {
		t.Errorf("bound to %d in the end, %v", r.Bound(at), err)
	}
	held(t, r, unix.IPPROTO_TCP, "127.96.1.1:81", third)
	if _, err := r.Hold(unix.IPPROTO_TCP, netip.MustParseAddrPort("127.96.1.1:82"), third.conn()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("one that is another's: %v", err)
	}
	if _, err := r.Hold(unix.IPPROTO_TCP, netip.MustParseAddrPort("127.96.1.2:80"), third.conn()); !errors.Is(err, ErrInvalid) {
		t.Errorf("one of another address: %v", err)
	}
}

// Datagrams without a checksum have none afterwards.
func TestRedirectUnchecked(t *testing.T) {
	pod := newPod(t)
	r := openRedirect(t, pod)
	s := serveUDP(t, pod, "service", "127.96.1.1:0")
	held(t, r, unix.IPPROTO_UDP, "127.96.1.1:53", s)
	if err := r.Lead(unix.IPPROTO_UDP, netip.MustParseAddrPort("127.96.1.1:53"), s.conn()); err != nil {
		t.Fatal(err)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	uncheck := func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) }
	raw.Control(uncheck)
	if err != nil {
		t.Fatal(err)
	}
	var c net.Conn
	inPod(t, pod, func() (err error) {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { return c.Control(uncheck) }}
		c, err = d.Dial("udp", "127.96.1.1:53")
		return err
	})
	defer c.Close()
	if got := saysBy(c); got != "service x" {
		t.Errorf("%q", got)
	}
}

// A server's own address and a socket that is at its own port are let be.
func TestRedirectExceptions(t *testing.T) {
	pod := newPod(t)
	r := openRedirect(t, pod)
	own := netip.MustParseAddr("127.97.0.7")
	for range 2 {
		if err := r.Cover(netip.MustParsePrefix("127.97.0.0/16"), own); err != nil {
			t.Fatal(err)
		}
	}
	serveTCP(t, pod, "tcp", "0.0.0.0:53")
	for _, addr := range []string{"127.0.0.1:53", "127.96.0.10:53", "127.96.0.11:53", "127.97.0.7:53", "127.97.0.8:53"} {
		serveUDP(t, pod, "udp", addr)
	}
	dns := netip.MustParseAddrPort("127.96.0.10:53")
	if err := errors.Join(r.Except(unix.IPPROTO_TCP, dns), r.Except(unix.IPPROTO_UDP, dns)); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"127.96.0.10:53": " x", "127.97.0.7:53": " x", "127.97.0.8:53": "refused", "127.96.0.11:53": "refused", "127.0.0.1:53": " x"} {
		for _, network := range []string{"tcp", "udp"} {
			want := want
			if want != "refused" {
				want = network + want
			}
			if got := says(t, pod, network, addr); got != want {
				t.Errorf("%s %s: %q, want %q", network, addr, got, want)
			}
		}
	}
}
