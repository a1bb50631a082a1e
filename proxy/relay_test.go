package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestHalfCloseByClient(t *testing.T) {
	// The server answers only after it saw the end of the request.
	addr := server(t, func(c *net.TCPConn) {
		b, err := io.ReadAll(c)
		fmt.Fprintf(c, "%s %v", b, err)
	})
	var j journal
	p := &Proxy{}
	j.attach(p)
	c := connect(t, forward(t, p, addr).Addr())
	io.WriteString(c, "request")
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "request <nil>" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	e := j.ended(t, 1)[0]
	if e.In != 7 || e.Out != 13 || e.Err != nil || e.Backend.String() != addr || e.Endpoint != addr || e.Client.String() != c.LocalAddr().String() {
		t.Errorf("event: %+v", e)
	}
	if s := p.Stats(); s != (Stats{Accepted: 1, In: 7, Out: 13}) {
		t.Errorf("stats: %+v", s)
	}
	if len(j.opened) != 1 || j.opened[0].Listener == nil {
		t.Errorf("opened: %+v", j.opened)
	}
}

func TestHalfCloseByBackend(t *testing.T) {
	received := make(chan string, 1)
	addr := server(t, func(c *net.TCPConn) {
		io.WriteString(c, "greeting")
		c.CloseWrite()
		b, err := io.ReadAll(c)
		received <- fmt.Sprintf("%s %v", b, err)
	})
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	if got, err := io.ReadAll(c); string(got) != "greeting" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	io.WriteString(c, "late ")
	io.WriteString(c, "words")
	c.CloseWrite()
	if got := <-received; got != "late words <nil>" {
		t.Errorf("backend got %q", got)
	}
}

func TestResetByBackend(t *testing.T) {
	addr := server(t, func(c *net.TCPConn) {
		io.WriteString(c, "part of an ans")
		io.ReadFull(c, make([]byte, 1)) // the client has it all
		c.SetLinger(0)
	})
	var j journal
	p := &Proxy{}
	j.attach(p)
	c := connect(t, forward(t, p, addr).Addr())
	if _, err := io.ReadFull(c, make([]byte, 14)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "x")
	if b, err := io.ReadAll(c); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("truncation looks complete: %q, %v", b, err)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ECONNRESET) {
		t.Errorf("event: %v", e.Err)
	}
	if s := p.Stats(); s.Failed != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestResetByClient(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(c *net.TCPConn)
	}{
		{"in the middle", func(c *net.TCPConn) {}},
		{"after a half-close", func(c *net.TCPConn) { c.CloseWrite() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := make(chan error, 1)
			addr := server(t, func(c *net.TCPConn) {
				io.WriteString(c, "ready")
				// Sees neither data nor, in the second case, more than
				// the end: only a reset makes writing fail.
				for {
					if _, err := c.Write(nil); err != nil {
						failed <- err
						return
					}
					code, err := errorOf(c)
					if err == nil && code != 0 {
						failed <- unix.Errno(code)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
			client := connect(t, forward(t, &Proxy{}, addr).Addr())
			if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			c.first(client)
			client.SetLinger(0)
			client.Close()
			select {
			case err := <-failed:
				if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
					t.Errorf("backend saw %v", err)
				}
			case <-time.After(testkit.Patience):
				t.Error("the backend was not told")
			}
		})
	}
}

func errorOf(c *net.TCPConn) (code int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) {
		code, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	}); e != nil {
		return 0, e
	}
	return code, err
}

// dead reports whether a connection is over in both directions.
func dead(c *net.TCPConn) bool {
	const tcpClose = 7 // net/tcp_states.h
	raw, err := c.SyscallConn()
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

// uploads keeps writing, so that the proxy's two directions meet the failure of
// the backend at the same time.
func uploads(c net.Conn) {
	for block := make([]byte, 16<<10); ; {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// TestResetNeverLooksLikeTheEnd guards against a trap of the kernel: the error of
// a reset socket is told once, and if writing took it, reading says end of file.
func TestResetNeverLooksLikeTheEnd(t *testing.T) {
	addr := server(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 100<<10))
		io.WriteString(c, "first half of the answer")
		io.ReadFull(c, make([]byte, 100<<10))
		c.SetLinger(0)
	})
	f := forward(t, &Proxy{}, addr)
	for range 300 {
		c := connect(t, f.Addr())
		go uploads(c)
		// The trap is there for the client too: dead sees what is true.
		if b, err := io.ReadAll(c); err == nil && !dead(c) {
			t.Fatalf("a clean end after %q", b)
		}
		c.Close()
	}
}

// TestAnswerBeforeReset has a server that refuses an upload: it answers and
// closes without having read all, which makes the kernel send a reset. The
// answer was sent before, and must arrive.
func TestAnswerBeforeReset(t *testing.T) {
	addr := server(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 100<<10))
		io.WriteString(c, "413 too large")
	})
	f := forward(t, &Proxy{}, addr)
	for range 300 {
		c := connect(t, f.Addr())
		go uploads(c)
		if b, err := io.ReadAll(c); string(b) != "413 too large" {
			t.Fatalf("got %q, %v", b, err)
		}
		c.Close()
	}
}

func TestBulkBothWays(t *testing.T) {
	addr := server(t, copyBack)
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	c.SetDeadline(time.Now().Add(time.Minute))
	data := make([]byte, 32<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	go func() {
		for rest := data; len(rest) > 0; { // odd sizes
			n := min(len(rest), 1+int(rng.Uint64()%100_000))
			if _, err := c.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		c.CloseWrite()
	}()
	h := sha256.New()
	if n, err := io.Copy(h, c); n != int64(len(data)) || err != nil {
		t.Fatalf("%d bytes back, %v", n, err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("the bytes changed")
	}
}

// TestSlowPeer has a client that does not read: its backend must come to a
// halt, and another client must not notice.
func TestSlowPeer(t *testing.T) {
	var sent atomic.Int64
	addr := server(t, func(c *net.TCPConn) {
		first := make([]byte, 1)
		io.ReadFull(c, first)
		if first[0] == 'p' {
			c.Write(first)
			copyBack(c)
			return
		}
		for block := make([]byte, 64<<10); ; {
			n, err := c.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	f := forward(t, &Proxy{Loops: 1}, addr)
	slow := connect(t, f.Addr())
	io.WriteString(slow, "flood me")
	last := int64(-1)
	testkit.Until(t, func() string {
		now := sent.Load()
		if now == last && now > 0 {
			return ""
		}
		last = now
		time.Sleep(100 * time.Millisecond)
		return fmt.Sprintf("still sending after %d MiB", now>>20)
	})
	if n, most := sent.Load(), kernelBuffers(t)+1<<20; n > most { // and a pipe
		t.Errorf("%d MiB are buffered, more than the %d MiB of the kernel", n>>20, most>>20)
	}
	c := connect(t, f.Addr())
	start := time.Now()
	for range 100 {
		talk(t, c)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("100 round trips beside a slow peer took %v", d)
	}
}

// kernelBuffers is what the kernel holds at most between a backend and a client
// of a proxy: two send and two receive buffers.
func kernelBuffers(t *testing.T) int64 {
	t.Helper()
	total := int64(0)
	for _, name := range []string{"rmem", "wmem"} {
		b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + name)
		if err != nil {
			t.Fatal(err)
		}
		var low, start, most int64
		if _, err := fmt.Sscan(string(b), &low, &start, &most); err != nil {
			t.Fatal(err)
		}
		total += 2 * most
	}
	return total
}
