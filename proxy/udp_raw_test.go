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
	for _, from := range []string{"127.96.200.200:53", "[::1]:5353"} {
		sendRaw(t, netip.MustParseAddrPort(from))
	}
}

func sendRaw(t *testing.T, from netip.AddrPort) {
	t.Helper()
	domain := unix.AF_INET
	if from.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, RawProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	c, err := net.Dial("udp", from.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := netip.MustParseAddrPort(c.LocalAddr().String())
	const most = 1<<16 - 1 - rawHeaderSize6
	for _, payload := range []string{"", "odd", "even", strings.Repeat("x", most)} {
		var h rawHeader
		size := h.set(from, to, []byte(payload))
		if err := unix.Sendto(fd, append(h[:size:size], payload...), 0, socketAddress(netip.AddrPortFrom(to.Addr(), 0))); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(b); err != nil || string(b[:n]) != payload {
			t.Errorf("from %s: %d bytes, want %d, %v", from, n, len(payload), err)
		}
	}
}
