package proxy

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// reset closes a connection so that a TCP peer sees a reset, and drops what was
// not sent.
func reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.Close()
}

func canCloseWrite(c net.Conn) bool {
	_, ok := c.(interface{ CloseWrite() error })
	return ok
}

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// tcpClose is the kernel's TCP_CLOSE, net/tcp_states.h.
const tcpClose = 7

// dead reports whether a TCP connection is over in both directions: reset,
// timed out, or ended by both sides. It is false for other connections.
func dead(c net.Conn) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	over := false
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		over = err == nil && info.State == tcpClose
	})
	return over
}

// keepAlive does nothing by default: package net has set its own default on
// what it accepts and dials.
func (p *Proxy) keepAlive(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	switch {
	case !ok || p.KeepAlive == 0:
	case p.KeepAlive < 0:
		tcp.SetKeepAlive(false)
	default:
		tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: p.KeepAlive, Interval: p.KeepAlive})
	}
}

// awaitReset waits, without reading, until a connection has failed, and returns
// the reason. It returns nil when a read deadline or Close interrupts it, and at
// once for connections without a descriptor.
//
// The error of the socket is asked for instead of its readability: one whose
// peer has said goodbye, or sent data, is readable all the time. Each new event,
// such as the arrival of a reset, makes package net's poller call again.
func awaitReset(c net.Conn) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	var failure error
	raw.Read(func(fd uintptr) (done bool) {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			return true // not a socket
		case code != 0:
			failure = unix.Errno(code)
			return true
		}
		return false
	})
	return failure
}

// watchReset calls f if c fails before the returned function is called, which
// waits for a call under way and leaves c as it was.
func watchReset(c net.Conn, f func(error)) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := awaitReset(c); err != nil {
			f(err)
		}
	}()
	return func() {
		c.SetReadDeadline(longAgo)
		<-done
		c.SetReadDeadline(noDeadline)
	}
}
