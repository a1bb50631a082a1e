package namespaces

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket makes a socket inside the network namespace ns, socket(2). The
// descriptor is close-on-exec and non-blocking, belongs to the caller, and
// works from every thread.
func Socket(ns *os.File, domain, typ, proto int) (int, error) {
	fds, err := Sockets(ns, domain, typ, proto, 1)
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// Sockets makes n sockets as [Socket] does, for little more than the price of
// one: most of that is the change into the namespace. On an error there are
// none. Where the namespace is an ordinary user's, a program is started that
// makes them, for about a millisecond.
func Sockets(ns *os.File, domain, typ, proto, n int) ([]int, error) {
	kind, err := KindOf(ns)
	if err != nil {
		return nil, err
	}
	if kind != Network {
		return nil, fail("make socket in", fileTarget(ns), fmt.Errorf("%w: it is a %s namespace, wanted a network namespace", ErrKind, kind))
	}
	fds := make([]int, 0, n)
	err = Do(ns, func() error {
		for range n {
			fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
			if err != nil {
				return fail("make socket in", fileTarget(ns), err)
			}
			fds = append(fds, fd)
		}
		return nil
	})
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		if len(fds) == 0 && denied(err) {
			return socketsWithout(ns, domain, typ, proto, n, err)
		}
		return nil, err
	}
	return fds, nil
}

// Dial connects to addr from inside the network namespace ns; network is "tcp"
// or "udp". Only the socket is made inside; connecting waits in Go's poller, so
// that a slow peer holds no thread, until ctx ends.
func Dial(ctx context.Context, ns *os.File, network string, addr netip.AddrPort) (net.Conn, error) {
	if err := checkNetwork(network, addr, "tcp", "udp"); err != nil {
		return nil, fail("dial", addr.String(), err)
	}
	d := net.Dialer{ControlContext: func(_ context.Context, _, _ string, c syscall.RawConn) error {
		return transplant(ns, c)
	}}
	return d.DialContext(ctx, network, addr.String())
}

// Listen listens on the TCP address addr inside the network namespace ns; port
// 0 picks a free one. An unspecified IPv6 address takes IPv4 connections too.
// ctx concerns the making only.
func Listen(ctx context.Context, ns *os.File, addr netip.AddrPort) (*net.TCPListener, error) {
	if err := checkNetwork("tcp", addr, "tcp"); err != nil {
		return nil, fail("listen on", addr.String(), err)
	}
	c := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return transplant(ns, c) }}
	network := "tcp"
	if addr.Addr().Is4() {
		network = "tcp4" // Go would listen on :: for 0.0.0.0
	}
	l, err := c.Listen(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func checkNetwork(network string, addr netip.AddrPort, allowed ...string) error {
	if !addr.IsValid() {
		return fmt.Errorf("%w: the address is not set", ErrOption)
	}
	for _, a := range allowed {
		if network == a {
			return nil
		}
	}
	return fmt.Errorf("%w: network %q: want %s", ErrOption, network, strings.Join(allowed, " or "))
}

// transplant puts a socket of the same sort that belongs to the network
// namespace ns in the place of c's socket. Package net calls it between socket(2)
// and connect(2) or bind(2), before the descriptor is known to its poller.
// Package net then does the rest as usual: the alternative, net.FileConn,
// costs a second descriptor and knows no connection that is under way.
func transplant(ns *os.File, c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = replace(ns, int(fd)) })
	if err != nil {
		return err
	}
	return inner
}

// copied are the options that package net sets before it calls its control
// function. IPV6_V6ONLY fails on IPv4 sockets and is not copied there.
var copied = [...]struct{ level, option int }{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR},
	{unix.SOL_SOCKET, unix.SO_BROADCAST},
	{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
}

func replace(ns *os.File, fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_TYPE", err)
	}
	// Not the protocol: 0 is TCP or UDP by type, while package net may have
	// chosen Multipath TCP, which a namespace can have switched off.
	inside, err := Socket(ns, domain, typ, 0)
	if err != nil {
		return err
	}
	defer unix.Close(inside)
	for _, o := range copied {
		if o.level == unix.IPPROTO_IPV6 && domain != unix.AF_INET6 {
			continue
		}
		v, err := unix.GetsockoptInt(fd, o.level, o.option)
		if err == nil {
			err = unix.SetsockoptInt(inside, o.level, o.option, v)
		}
		if err != nil {
			return os.NewSyscallError("copy socket option", err)
		}
	}
	return os.NewSyscallError("dup3", unix.Dup3(inside, fd, unix.O_CLOEXEC))
}
