package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adopt returns a descriptor of its own for a listener's socket.
func (p *Proxy) adopt(l net.Listener) (int32, error) {
	addr, isTCP := l.Addr().(*net.TCPAddr)
	c, ok := l.(syscall.Conn)
	if !isTCP || !ok {
		return -1, fmt.Errorf("%T is not a TCP listener with a descriptor", l)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var inner error
	err = raw.Control(func(own uintptr) {
		if fd, inner = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 3); inner == nil {
			inner = p.dressListener(fd, addr)
		}
	})
	if err = errors.Join(err, inner); err != nil && fd >= 0 {
		unix.Close(fd)
	}
	return int32(fd), err
}

// dressListener sets what accepted sockets inherit: no call for each of them.
func (p *Proxy) dressListener(fd int, addr *net.TCPAddr) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt TCP_NODELAY", err)
	}
	if addr.IP.IsLoopback() && paces(fd) {
		setUnpaced(int32(fd))
	}
	on := 0
	if p.KeepAlive >= 0 {
		on = 1
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, on); err != nil {
		return os.NewSyscallError("setsockopt SO_KEEPALIVE", err)
	}
	if on == 1 {
		p.probe(fd)
	}
	return nil
}

// paces reports whether a socket's congestion control spreads what is sent over
// time, each packet by a timer. Within a host there is no queue to keep short,
// and that halves the speed: there the proxy's sockets use Reno, which every
// kernel has.
func paces(fd int) bool {
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	return err == nil && strings.HasPrefix(name, "bbr")
}

// pacesHere reports it of the sockets that are made here.
func pacesHere() bool {
	fd, errno := sysSocket(unix.AF_INET)
	if errno != 0 {
		return false
	}
	defer closeFD(fd)
	return paces(int(fd))
}

// dressBackend sets the options of a socket that will connect to addr.
func (p *Proxy) dressBackend(fd int32, addr netip.Addr) {
	if addr.IsLoopback() || p.KeepAlive < 0 {
		return
	}
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	p.probe(int(fd))
}

func (p *Proxy) probe(fd int) {
	d := p.KeepAlive
	if d == 0 {
		d = defaultKeepAlive
	}
	seconds := int((d + time.Second - 1) / time.Second)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
}
