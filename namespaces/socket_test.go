package namespaces

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestSocketsStayInside(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", "::1", "::", "127.96.0.7"} {
		t.Run(ip, func(t *testing.T) {
			a := newSetWith(t, Options{Loopback: true}, Network).File(Network)
			b := newSetWith(t, Options{Loopback: true}, Network).File(Network)
			l, err := Listen(t.Context(), a, netip.AddrPortFrom(netip.MustParseAddr(ip), 0))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go echo(l)
			addr := l.Addr().(*net.TCPAddr).AddrPort()
			if addr.Addr().IsUnspecified() {
				addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
			}
			c, err := Dial(t.Context(), a, "tcp", addr)
			if err != nil {
				t.Fatal("from the same namespace:", err)
			}
			defer c.Close()
			io.WriteString(c, "hello")
			c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			if c, err := Dial(t.Context(), b, "tcp", addr); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("from another namespace: %v, %v", c, err)
			}
			if c, err := net.Dial("tcp", addr.String()); err == nil {
				c.Close()
				t.Error("reachable from outside")
			}
			// The same address is free in another namespace.
			l2, err := Listen(t.Context(), b, l.Addr().(*net.TCPAddr).AddrPort())
			if err != nil {
				t.Fatal("same address in another namespace:", err)
			}
			l2.Close()
		})
	}
}

func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}
}

func TestListenTwice(t *testing.T) {
	ns := newSetWith(t, Options{Loopback: true}, Network).File(Network)
	l, err := Listen(t.Context(), ns, netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), ns, netip.MustParseAddrPort("127.0.0.1:80")); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	// A connection in TIME_WAIT on the port must not block the next listener.
	go echo(l)
	c, err := Dial(t.Context(), ns, "tcp", netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c.(*net.TCPConn).CloseWrite()
	io.ReadAll(c)
	c.Close()
	l, err = Listen(t.Context(), ns, netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		t.Fatal("after a restart:", err)
	}
	l.Close()
}

func TestDialUDP(t *testing.T) {
	ns := newSetWith(t, Options{Loopback: true}, Network).File(Network)
	fd, err := Socket(ns, unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ns, "udp", netip.MustParseAddrPort("127.0.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "query"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, err := unix.Read(fd, buf); string(buf[:max(n, 0)]) != "query" {
		t.Errorf("received %q, %v", buf, err)
	}
}

func TestSocketFlags(t *testing.T) {
	ns := newSet(t, Network).File(Network)
	fd, err := Socket(ns, unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if f, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); f&unix.FD_CLOEXEC == 0 {
		t.Error("inherited by children")
	}
	if f, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); f&unix.O_NONBLOCK == 0 {
		t.Error("blocking")
	}
}

func TestSockets(t *testing.T) {
	ns := newSetWith(t, Options{Loopback: true}, Network).File(Network)
	l, err := Listen(t.Context(), ns, netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fds, err := Sockets(ns, unix.AF_INET, unix.SOCK_STREAM, 0, 10)
	if err != nil || len(fds) != 10 {
		t.Fatalf("%d sockets, %v", len(fds), err)
	}
	for _, fd := range fds {
		// Only from inside is there somebody who listens.
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}}); err != nil && err != unix.EINPROGRESS {
			t.Error(err)
		}
		if c, err := l.Accept(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		unix.Close(fd)
	}
}

// TestSocketsAllOrNone runs out of descriptors in the middle of a batch.
func TestSocketsAllOrNone(t *testing.T) {
	ns := newSet(t, Network).File(Network)
	before := testkit.Held()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	fds, err := Sockets(ns, unix.AF_INET, unix.SOCK_STREAM, 0, 64)
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, unix.EMFILE) || fds != nil {
		t.Errorf("%d sockets, %v", len(fds), err)
	}
	before.Check(t)
}

func TestSocketRefuses(t *testing.T) {
	s := newSet(t, Network, UTS)
	if _, err := Socket(s.File(UTS), unix.AF_INET, unix.SOCK_STREAM, 0); !errors.Is(err, ErrKind) {
		t.Errorf("uts namespace: %v", err)
	}
	if fd, err := Socket(s.File(Network), 9999, unix.SOCK_STREAM, 0); !errors.Is(err, unix.EAFNOSUPPORT) || fd != -1 {
		t.Errorf("unknown domain: %d, %v", fd, err)
	}
	if _, err := Dial(t.Context(), s.File(Network), "unix", netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, ErrOption) {
		t.Errorf("unix: %v", err)
	}
	if _, err := Dial(t.Context(), s.File(Network), "tcp", netip.AddrPort{}); !errors.Is(err, ErrOption) {
		t.Errorf("no address: %v", err)
	}
	if _, err := Listen(t.Context(), s.File(Network), netip.AddrPort{}); !errors.Is(err, ErrOption) {
		t.Errorf("listen without address: %v", err)
	}
	if _, err := Dial(t.Context(), s.File(Network), "tcp", netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("lo is down: %v", err)
	}
	s.Close()
	if _, err := Dial(t.Context(), s.File(Network), "tcp", netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestDialWaitsForContext connects to a listener whose queue is full, which
// leaves connections hanging.
func TestDialWaitsForContext(t *testing.T) {
	ns := newSetWith(t, Options{Loopback: true}, Network).File(Network)
	fd, err := Socket(ns, unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		c, err := Dial(ctx, ns, "tcp", netip.MustParseAddrPort("127.0.0.1:80"))
		cancel()
		if err == nil {
			defer c.Close()
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("the queue never became full")
}

func BenchmarkSocket(b *testing.B) {
	ns := newSet(b, Network).File(Network)
	for b.Loop() {
		fd, err := Socket(ns, unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}

func BenchmarkSockets64(b *testing.B) {
	ns := newSet(b, Network).File(Network)
	for b.Loop() {
		fds, err := Sockets(ns, unix.AF_INET, unix.SOCK_STREAM, 0, 64)
		if err != nil {
			b.Fatal(err)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

func BenchmarkDial(b *testing.B) {
	ns := newSetWith(b, Options{Loopback: true}, Network).File(Network)
	inside, err := Listen(b.Context(), ns, netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		b.Fatal(err)
	}
	defer inside.Close()
	go echo(inside)
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer outside.Close()
	go echo(outside)
	b.Run("inside", func(b *testing.B) {
		for b.Loop() {
			c, err := Dial(b.Context(), ns, "tcp", inside.Addr().(*net.TCPAddr).AddrPort())
			if err != nil {
				b.Fatal(err)
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	})
	b.Run("net.Dial", func(b *testing.B) {
		for b.Loop() {
			c, err := net.Dial("tcp", outside.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	})
}
