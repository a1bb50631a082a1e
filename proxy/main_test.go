package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain fails a run that leaves goroutines or descriptors.
func TestMain(m *testing.M) {
	before := sockets()
	running := len(goroutines())
	code := m.Run()
	if err := poll(func() error {
		runtime.GC() // closes the pipes that package net keeps for splice(2)
		if now := goroutines(); len(now) > running {
			return fmt.Errorf("%d goroutines leaked:\n%s", len(now)-running, strings.Join(now, "\n\n"))
		}
		if n := sockets(); n > before {
			return fmt.Errorf("%d descriptors leaked", n-before)
		}
		return nil
	}); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// goroutines returns their stacks, without that of os/signal, which package
// testing starts for fuzzing.
func goroutines() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "os/signal.loop") })
}

// sockets counts the descriptors that a proxy could have opened.
func sockets() int {
	n := 0
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:") {
			n++
		}
	}
	return n
}

// poll calls f until it returns nil, for five seconds at most.
func poll(f func() error) error {
	var err error
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

// patience bounds what should come at once.
const patience = 5 * time.Second

// forward starts a proxy to backend and ends it with the test.
func forward(t testing.TB, p *Proxy, backend string) *Front {
	t.Helper()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", Backend(backend))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return f
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
	c.SetDeadline(time.Now().Add(patience))
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
	if err := poll(func() error {
		j.mu.Lock()
		defer j.mu.Unlock()
		if got = j.closed; len(got) < n {
			return fmt.Errorf("%d connections ended, want %d", len(got), n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}
