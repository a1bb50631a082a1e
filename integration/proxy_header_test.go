package integration

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/proxy"
)

// headers returns what each connection to l begins with, all of it that came.
func headers(t testing.TB, l net.Listener) <-chan []byte {
	t.Helper()
	begun := make(chan []byte, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(testkit.Patience))
			all, _ := io.ReadAll(c)
			c.Close()
			begun <- all
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return begun
}

// Backends learn whose a connection is: the client's, or that of whom a proxy
// before this one says it is.
func TestProxyProtocol(t *testing.T) {
	const before = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
	for _, version := range []int{1, 2} {
		for _, in := range []bool{false, true} {
			l := localListener(t)
			begun := headers(t, l)
			args := []string{"--listen", "127.0.0.1:0", "--backend", l.Addr().String(), "--proxy-protocol-out", strconv.Itoa(version)}
			text := "hello"
			if in {
				args, text = append(args, "--proxy-protocol-in"), before+text
			}
			p := startProxy(t, args...)
			c := dial(t, p.address())
			want := c.LocalAddr().(*net.TCPAddr).AddrPort()
			if in {
				want = netip.MustParseAddrPort("192.0.2.7:4711")
			}
			io.WriteString(c, text)
			c.(*net.TCPConn).CloseWrite()
			all := <-begun
			h, n, err := proxy.ParseHeader(all)
			if err != nil || h.Source != want || string(all[n:]) != "hello" || (all[0] == 'P') != (version == 1) {
				t.Errorf("version %d, in %v: %+v, %q, %v; want %v", version, in, h, all, err, want)
			}
		}
	}
}

func TestProxyProtocolMissing(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"), "--proxy-protocol-in")
	c := dial(t, p.address())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("without a header: %v", err)
	}
}
