package proxy

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A datagram arrives at a connected socket although nobody has the port that it
// comes from.
func TestRawHeader(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("raw sockets need root")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, RawProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	from := netip.MustParseAddrPort("127.96.200.200:53")
	c, err := net.Dial("udp", from.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := netip.MustParseAddrPort(c.LocalAddr().String())
	const most = 1<<16 - 1 - rawHeaderSize
	for _, payload := range []string{"", "hello", strings.Repeat("x", most)} {
		var h rawHeader
		h.set(from, to, len(payload))
		if err := unix.Sendto(fd, append(h[:], payload...), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(b); err != nil || string(b[:n]) != payload {
			t.Errorf("%d bytes, want %d, %v", n, len(payload), err)
		}
	}
}
