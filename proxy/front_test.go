package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestOutOfDescriptors is the real thing: no descriptor for a while.
func TestOutOfDescriptors(t *testing.T) {
	// A server without splice(2), whose pipes would be freed at any time, and
	// which waits for connections when descriptors run out.
	addr := server(t, func(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
	direct, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	talk(t, direct)
	defer direct.Close()
	p := &Proxy{}
	var j journal
	j.attach(p)
	f := forward(t, p, addr)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fd), "client")
	defer client.Close()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(fd + 1)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for {
		spare, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		defer unix.Close(spare)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: f.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}})
	complaint := testkit.Poll(func() string {
		if j.lines("too many open files") == 0 {
			return "accept did not fail"
		}
		return ""
	})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	if complaint != "" {
		t.Error(complaint)
	}
	// The connection that was waiting is served.
	client.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := client.WriteString("ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		t.Error(err)
	}
}

// TestListenerShutDownByOthers has somebody else who holds the listening socket.
func TestListenerShutDownByOthers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	p := &Proxy{}
	defer p.Close()
	f, err := p.Serve(t.Context(), l, to(server(t, copyBack)))
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, f.Addr())
	talk(t, c)
	if err := unix.Shutdown(int(other.Fd()), unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	talk(t, c)
	c.Close()
	select {
	case <-f.Done():
	case <-time.After(testkit.Patience):
		t.Error("the front goes on without a listener")
	}
}

// TestServeRefuses closes a listener also when it cannot be used.
func TestServeRefuses(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(Proxy).Serve(t.Context(), l, to()); err == nil || !strings.Contains(err.Error(), "not a TCP listener") {
		t.Errorf("got %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestShutdownDrains(t *testing.T) {
	p := &Proxy{}
	f := forward(t, p, server(t, copyBack))
	c := connect(t, f.Addr())
	talk(t, c)
	done := make(chan error)
	go func() { done <- p.Shutdown(t.Context()) }()
	testkit.Eventually(t, "it accepts no more", func() bool {
		c, err := net.Dial("tcp", f.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	for range 10 {
		talk(t, c)
	}
	select {
	case err := <-done:
		t.Fatalf("returned %v with a connection open", err)
	default:
	}
	c.CloseWrite()
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := p.Forward(t.Context(), "127.0.0.1:0", to("127.0.0.1:1")); !errors.Is(err, ErrClosed) {
		t.Errorf("Forward after Shutdown: %v", err)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

// TestCut ends a proxy with an open connection in each way that cuts.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(p *Proxy, f *Front, cancel context.CancelFunc) error
		want error
	}{
		{"Shutdown", func(p *Proxy, f *Front, _ context.CancelFunc) error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			return p.Shutdown(ctx)
		}, context.DeadlineExceeded},
		{"Close", func(p *Proxy, f *Front, _ context.CancelFunc) error { return p.Close() }, nil},
		{"Front.Close", func(p *Proxy, f *Front, _ context.CancelFunc) error { return f.Close() }, nil},
		{"context", func(p *Proxy, f *Front, cancel context.CancelFunc) error { cancel(); <-f.Done(); return nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var j journal
			p := &Proxy{}
			j.attach(p)
			defer p.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			f, err := p.Forward(ctx, "127.0.0.1:0", to(server(t, copyBack)))
			if err != nil {
				t.Fatal(err)
			}
			client := connect(t, f.Addr())
			talk(t, client)
			if err := c.end(p, f, cancel); !errors.Is(err, c.want) {
				t.Errorf("returned %v", err)
			}
			if s := p.Stats(); s.Active != 0 {
				t.Errorf("%d connections are open", s.Active)
			}
			if e := j.ended(t, 1)[0]; !errors.Is(e.Err, ErrClosed) || e.In != 4 || e.Out != 4 {
				t.Errorf("event: %+v", e)
			}
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("client saw %v", err)
			}
		})
	}
}

func TestCloseWhileDialling(t *testing.T) {
	var j journal
	p := &Proxy{}
	j.attach(p)
	pool := to(deaf(t))
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	connect(t, f.Addr())
	testkit.Until(t, func() string {
		if pool.Endpoints()[0].Active == 0 {
			return "not dialled"
		}
		return ""
	})
	p.Close()
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, ErrClosed) {
		t.Errorf("event: %v", e.Err)
	}
	if n := j.lines("can be reached"); n != 0 {
		t.Error("closing is logged as a fault of the endpoint")
	}
	if n := pool.Endpoints()[0].Active; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestFrontsAreIndependent closes one of two.
func TestFrontsAreIndependent(t *testing.T) {
	p := &Proxy{}
	a, b := forward(t, p, server(t, copyBack)), forward(t, p, server(t, copyBack))
	ca, cb := connect(t, a.Addr()), connect(t, b.Addr())
	talk(t, ca)
	talk(t, cb)
	a.Close()
	talk(t, cb)
	talk(t, connect(t, b.Addr()))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fronts) != 1 {
		t.Errorf("%d fronts are kept", len(p.fronts))
	}
}

func TestMaxConns(t *testing.T) {
	var now, most atomic.Int32
	addr := server(t, func(c *net.TCPConn) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		copyBack(c)
		now.Add(-1)
	})
	p := &Proxy{Loops: 3, MaxConns: 3}
	f, g := forward(t, p, addr), forward(t, p, addr)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			front := f
			if i%2 == 1 {
				front = g
			}
			c, err := net.Dial("tcp", front.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(testkit.Patience))
			fmt.Fprintf(c, "client %d", i)
			c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); string(got) != fmt.Sprintf("client %d", i) || err != nil {
				t.Errorf("client %d: %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	// A client sees the end a moment before its slot is free, and the
	// backend counts in its own time: bound the proxy's number by the slots.
	if n := most.Load(); n > 3+3 {
		t.Errorf("%d connections at once", n)
	}
}

// TestCloseWhileQueued closes with clients that wait for a slot.
func TestCloseWhileQueued(t *testing.T) {
	p := &Proxy{MaxConns: 1}
	f := forward(t, p, server(t, copyBack))
	first := connect(t, f.Addr())
	talk(t, first)
	second := connect(t, f.Addr())
	third := connect(t, f.Addr())
	io.WriteString(second, "hello?")
	go p.Shutdown(t.Context())
	for _, c := range []net.Conn{second, third} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("waiting client saw %v", err)
		}
	}
	talk(t, first)
}
