package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// boundUDP makes a UDP socket with an address of a service.
func (sp *space) boundUDP(addr netip.AddrPort) (*os.File, error) {
	return sp.boundSocket(addr, unix.SOCK_DGRAM)
}

// boundSocket makes a socket with an address of a service. One of IPv6 is local by
// its route, and no interface's own: bind(2) would refuse it.
func (sp *space) boundSocket(addr netip.AddrPort, kind int) (_ *os.File, err error) {
	domain, name := unix.AF_INET, unix.Sockaddr(nil)
	if addr.Addr().Is4() {
		name = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		domain, name = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	}
	fd, err := sp.newSocket(domain, kind, 0)
	if err != nil {
		return nil, err
	}
	if domain == unix.AF_INET6 {
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
	}
	if kind == unix.SOCK_STREAM && err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		if sp.redirect != nil && err == nil {
			// One that follows has the same port, as long as connections are open.
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	}
	if err == nil {
		err = unix.Bind(fd, name)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind %s: %w", addr, err)
	}
	return os.NewFile(uintptr(fd), addr.String()), nil
}

// rawSocket makes one that sends from any address.
func (sp *space) rawSocket(domain int) (*os.File, error) {
	fd, err := sp.newSocket(domain, unix.SOCK_RAW, proxy.RawProtocol)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "raw"), nil
}

func (sp *space) newSocket(domain, kind, protocol int) (int, error) {
	kind |= unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if sp.host() {
		return unix.Socket(domain, kind, protocol)
	}
	return namespaces.Socket(sp.netns, domain, kind, protocol)
}

// mostWaiting are the connections that wait to be accepted at most; the kernel
// takes less where sysctl net.core.somaxconn says so.
const mostWaiting = 1<<16 - 1

// ownListener listens at an address of a service.
func (sp *space) ownListener(addr netip.AddrPort) (*net.TCPListener, error) {
	if addr.Addr().Is4() && sp.redirect == nil {
		return sp.listener(addr)
	}
	f, err := sp.boundSocket(addr, unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := control(f, func(fd int) error { return unix.Listen(fd, mostWaiting) }); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return asTCP(l, addr)
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	failure := raw.Control(func(fd uintptr) { err = do(int(fd)) })
	return errors.Join(failure, err)
}

func (sp *space) listener(addr netip.AddrPort) (*net.TCPListener, error) {
	if sp.netns != nil {
		return namespaces.Listen(context.Background(), sp.netns, addr)
	}
	var c net.ListenConfig
	c.SetMultipathTCP(false) // neither a table nor splice(2) knows its sockets
	text, network := addr.String(), "tcp"
	switch addr.Addr() {
	case netip.IPv6Unspecified():
		text = fmt.Sprintf(":%d", addr.Port()) // also where there is no IPv6
	case netip.IPv4Unspecified():
		network = "tcp4" // or else it were all addresses of IPv6 too
	}
	l, err := c.Listen(context.Background(), network, text)
	if err != nil {
		return nil, err
	}
	return asTCP(l, addr)
}

func asTCP(l net.Listener, addr netip.AddrPort) (*net.TCPListener, error) {
	t, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", addr, errors.ErrUnsupported)
	}
	return t, nil
}
