package proxy

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What is sent in bulk to a peer near by does not pile up in its socket.
func TestBound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		new(loop).bound(&end{fd: int32(fd)})
		// 2 * min(nearBuffer, net.core.wmem_max), and never grown again.
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil || n > 2*int(nearBuffer[0]) {
			t.Errorf("the buffer has %d bytes, %v", n, err)
		}
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BUF_LOCK); err != nil || n&unix.SOCK_SNDBUF_LOCK == 0 {
			t.Errorf("the kernel may make it larger: %d, %v", n, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
