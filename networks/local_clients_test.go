package networks

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connecting returns sockets of a family that wait for an answer from an address
// whose listener takes nobody any more.
func connecting(t *testing.T, listener netip.AddrPort, by int) (list []int) {
	t.Helper()
	l := tcpSocket(t, int(family(listener.Addr())))
	if listener.Addr().Is6() {
		if err := unix.SetsockoptInt(l, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(unix.Bind(l, sockaddr(listener, int(family(listener.Addr())))), unix.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	for len(list) < 4 { // the first two are not refused
		fd := tcpSocket(t, by)
		if err := unix.Connect(fd, sockaddr(listener, by)); err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		if outcome(fd, 100*time.Millisecond) == unix.EINPROGRESS {
			list = append(list, fd)
		}
	}
	return list
}

func tcpSocket(t *testing.T, family int) int {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func sockaddr(a netip.AddrPort, family int) unix.Sockaddr {
	if family == unix.AF_INET {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// outcome waits for the end of connecting: 0, or the error; EINPROGRESS where
// there is none within a time.
func outcome(fd int, within time.Duration) unix.Errno {
	deadline := time.Now().Add(within)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(max(time.Until(deadline).Milliseconds(), 0)))
		switch {
		case err == unix.EINTR:
			continue
		case n == 0:
			return unix.EINPROGRESS
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return unix.EBADF
		}
		return unix.Errno(code)
	}
}

// Who is about to connect to a range that stops being local learns it, and nobody
// else.
func TestReleaseTellsClients(t *testing.T) {
	range4, range6 := netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")
	one, two, six := holdLocal(t, range4), holdLocal(t, range4), holdLocal(t, range6)
	other := connecting(t, netip.MustParseAddrPort("127.0.0.1:8079"), unix.AF_INET)
	var clients []int
	clients = append(clients, connecting(t, netip.MustParseAddrPort("10.96.7.7:80"), unix.AF_INET)...)
	clients = append(clients, connecting(t, netip.MustParseAddrPort("10.96.7.8:80"), unix.AF_INET6)...)
	clients6 := connecting(t, netip.MustParseAddrPort("[fd00:96::7]:80"), unix.AF_INET6)
	release(t, one)
	for _, fd := range clients {
		if err := outcome(fd, 0); err != unix.EINPROGRESS {
			t.Errorf("with one holder left: %v", err)
		}
	}
	release(t, two)
	release(t, six)
	for _, fd := range append(clients, clients6...) {
		if err := outcome(fd, 10*time.Second); err != unix.ECONNABORTED {
			if err == unix.EINPROGRESS && os.Getenv("CI") != "true" {
				t.Skip("the kernel has no CONFIG_INET_DIAG_DESTROY")
			}
			t.Fatalf("without a holder: %v", err)
		}
	}
	for _, fd := range other {
		if err := outcome(fd, 0); err != unix.EINPROGRESS {
			t.Errorf("elsewhere: %v", err)
		}
	}
}
