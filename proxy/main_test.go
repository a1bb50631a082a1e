package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// TestMain fails a run that leaves goroutines or descriptors.
func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// forward starts a proxy to backend and ends it with the test.
func forward(t testing.TB, p *Proxy, backend string) *Front {
	t.Helper()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", to(backend))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return f
}

// to is a pool of addresses, all of which are always tried.
func to(backends ...string) *Pool {
	var list []Endpoint
	for _, b := range backends {
		list = append(list, Endpoint{ID: b, Addr: netip.MustParseAddrPort(b)})
	}
	pool := NewPool(PoolOptions{EjectAfter: -1, Policy: RoundRobin})
	pool.Set(list)
	return pool
}

// server runs handle for each connection and ends with the test.
func server(t testing.TB, handle func(*net.TCPConn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	return l.Addr().String()
}

// copyBack echoes and ends when the peer ends.
func copyBack(c *net.TCPConn) { io.Copy(c, c) }

// connect dials and bounds whatever the test does with the connection.
func connect(t testing.TB, addr net.Addr) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testkit.Patience))
	return c.(*net.TCPConn)
}

// refused returns an address at which nobody listens.
func refused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// talk sends a line over the proxy and wants it back.
func talk(t testing.TB, c net.Conn) {
	t.Helper()
	buf := make([]byte, 4)
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("got %q, %v", buf, err)
	}
}

// journal collects what a proxy reports.
type journal struct {
	mu     sync.Mutex
	text   strings.Builder
	opened []Connection
	closed []Connection
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) lines(word string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), word)
}

func (j *journal) attach(p *Proxy) {
	p.Log = slog.New(slog.NewTextHandler(j, nil))
	p.OnOpen = func(c Connection) { j.mu.Lock(); j.opened = append(j.opened, c); j.mu.Unlock() }
	p.OnClose = func(c Connection) { j.mu.Lock(); j.closed = append(j.closed, c); j.mu.Unlock() }
}

// ended waits for n connections to be over and returns them.
func (j *journal) ended(t testing.TB, n int) []Connection {
	t.Helper()
	var got []Connection
	testkit.Until(t, func() string {
		j.mu.Lock()
		defer j.mu.Unlock()
		if got = j.closed; len(got) < n {
			return fmt.Sprintf("%d connections ended, want %d", len(got), n)
		}
		return ""
	})
	return got
}
