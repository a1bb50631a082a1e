package main

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"
)

// The backend answers any HTTP request with the same few bytes, from an epoll
// loop on each of two threads. It is made for this benchmark since it shares the
// processors with what is compared: nginx, say, takes several times as much for
// a request, which would hide the differences between the proxies.

const (
	response      = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
	closeResponse = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
)

// backendMain is `benchproxy -backend ADDR`.
func backendMain(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: -backend ADDR")
	}
	if _, err := moreDescriptors(); err != nil {
		return err
	}
	addr, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return err
	}
	failed := make(chan error)
	for range 2 {
		go func() { failed <- serve(fd) }()
	}
	return <-failed
}

func serve(listener int) error {
	runtime.LockOSThread()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	watch := func(fd int, what uint32) error {
		return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: what, Fd: int32(fd)})
	}
	if err := watch(listener, unix.EPOLLIN|unix.EPOLLEXCLUSIVE); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(ep, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for i := range max(n, 0) {
			fd := int(events[i].Fd)
			if fd != listener {
				answer(fd, buf)
				continue
			}
			c, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == nil {
				unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
				err = watch(c, unix.EPOLLIN)
			}
			if err != nil && err != unix.EAGAIN && err != unix.ECONNABORTED && err != unix.EINTR {
				return err
			}
		}
	}
}

var (
	endOfHeader = []byte("\r\n\r\n")
	wantsClose  = []byte("Connection: close")
)

// answer reads what there is: whole requests, since all clients here send them
// in one piece.
func answer(fd int, buf []byte) {
	n, err := unix.Read(fd, buf)
	if err == unix.EAGAIN {
		return
	}
	if n <= 0 {
		unix.Close(fd)
		return
	}
	if bytes.Contains(buf[:n], wantsClose) {
		unix.Write(fd, []byte(closeResponse))
		unix.Close(fd)
		return
	}
	for range bytes.Count(buf[:n], endOfHeader) {
		unix.Write(fd, []byte(response))
	}
}
