package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestRefusedBackend(t *testing.T) {
	var j journal
	p := &Proxy{}
	j.attach(p)
	alive := connect(t, forward(t, p, server(t, copyBack)).Addr())
	talk(t, alive)

	dead := refused(t)
	f := forward(t, p, dead)
	const n = 50
	for range n {
		start := time.Now()
		if err := wantReset(t, f.Addr()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("reset after %v", d)
		}
	}
	talk(t, alive)
	for _, e := range j.ended(t, n) {
		if !errors.Is(e.Err, unix.ECONNREFUSED) || !strings.Contains(e.Err.Error(), "dial endpoint "+dead) {
			t.Fatalf("event: %v", e.Err)
		}
	}
	if s := p.Stats(); s.Failed != n || s.Active != 1 {
		t.Errorf("stats: %+v", s)
	}
	if l := j.lines("no endpoint can be reached"); l < 1 || l > 5 {
		t.Errorf("%d log lines for %d refusals", l, n)
	}
}

// wantReset connects and returns an error unless the connection is reset,
// which may happen so soon that connect(2) tells.
func wantReset(t *testing.T, addr net.Addr) error {
	c, err := net.Dial("tcp", addr.String())
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(testkit.Patience))
		_, err = c.Read(make([]byte, 1))
	}
	if errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("no reset: %w", err)
}

func TestDialRetry(t *testing.T) {
	addr := refused(t)
	p := &Proxy{DialRetry: time.Minute}
	pool := to(addr)
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := connect(t, f.Addr())
	if _, err := io.WriteString(c, "early"); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, func() string {
		if n := pool.Endpoints()[0].Failed; n < 3 {
			return fmt.Sprintf("%d attempts", n)
		}
		return ""
	})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			copyBack(c.(*net.TCPConn))
			c.Close()
		}
	}()
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "early" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDialRetryEnds(t *testing.T) {
	var j journal
	p := &Proxy{DialRetry: 50 * time.Millisecond}
	j.attach(p)
	c := connect(t, forward(t, p, refused(t)).Addr())
	start := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d < 40*time.Millisecond || d > 2*time.Second {
		t.Errorf("gave up after %v", d)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ECONNREFUSED) {
		t.Errorf("event: %v", e.Err)
	}
}

func TestDialRetryStopsForGoneClient(t *testing.T) {
	var j journal
	p := &Proxy{DialRetry: time.Hour}
	j.attach(p)
	c := connect(t, forward(t, p, refused(t)).Addr())
	io.WriteString(c, "data that nobody reads")
	c.SetLinger(0)
	c.Close()
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ECONNRESET) {
		t.Errorf("event: %v", e.Err)
	}
}

// deaf is an address at which connections are neither made nor refused: the
// listener's queue is full.
func deaf(t testing.TB) string {
	t.Helper()
	_, addr := bareListener(t, 0)
	for range 20 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue never became full")
	return ""
}

func TestDialTimeout(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	for name, endpoint := range map[string]Endpoint{
		"connection": {Addr: netip.MustParseAddrPort(deaf(t))},
		"socket": {Addr: netip.MustParseAddrPort("127.0.0.1:1"), Sockets: &Sockets{
			Make: func(int, int, int) ([]int, error) { <-stuck; return nil, io.EOF },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 50 * time.Millisecond
			p := &Proxy{DialTimeout: limit}
			defer p.Close()
			var j journal
			j.attach(p)
			pool := NewPool(PoolOptions{})
			pool.Set([]Endpoint{endpoint})
			f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			c := connect(t, f.Addr())
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d < limit || d > limit+time.Second {
				t.Errorf("gave up after %v", d)
			}
			if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ETIMEDOUT) {
				t.Errorf("event: %v", e.Err)
			}
		})
	}
}

// TestNextEndpoint has endpoints of which one works: every client gets to that,
// with all it has sent.
func TestNextEndpoint(t *testing.T) {
	good := server(t, copyBack)
	p := &Proxy{DialTimeout: 100 * time.Millisecond}
	var j journal
	j.attach(p)
	pool := to(refused(t), good, deaf(t), refused(t))
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const n = 20
	var wg sync.WaitGroup
	for range n {
		c := connect(t, f.Addr())
		wg.Go(func() {
			io.WriteString(c, "sent at once")
			c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != "sent at once" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			c.Close()
		})
	}
	wg.Wait()
	for _, e := range j.ended(t, n) {
		if e.Err != nil || e.Backend.String() != good {
			t.Errorf("event: %+v", e)
		}
	}
	for _, e := range pool.Endpoints() {
		if e.Active != 0 {
			t.Errorf("%s: %d connections are left", e.ID, e.Active)
		}
		if want := int64(0); e.ID == good && (e.In != n*12 || e.Out != n*12) || e.ID != good && e.In != want {
			t.Errorf("%s: %d bytes in, %d out", e.ID, e.In, e.Out)
		}
	}
}

func TestBalance(t *testing.T) {
	name := func(s string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, s) }
	}
	p := &Proxy{}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", to(server(t, name("a")), server(t, name("b"))))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 10 {
		b, err := io.ReadAll(connect(t, f.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		got[string(b)]++
	}
	if got["a"] != 5 || got["b"] != 5 {
		t.Errorf("answers: %v", got)
	}
	none, err := p.Forward(t.Context(), "127.0.0.1:0", to())
	if err != nil {
		t.Fatal(err)
	}
	if err := wantReset(t, none.Addr()); err != nil {
		t.Errorf("no endpoint: %v", err)
	}
}

// TestQueue has an endpoint that takes one connection at a time.
func TestQueue(t *testing.T) {
	var now, most atomic.Int32
	addr := server(t, func(c *net.TCPConn) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		copyBack(c)
		now.Add(-1)
	})
	p := &Proxy{}
	defer p.Close()
	pool := NewPool(PoolOptions{MaxConns: 1, Queue: 100})
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		c := connect(t, f.Addr())
		wg.Go(func() {
			defer c.Close()
			if i%4 == 3 { // has no patience
				return
			}
			fmt.Fprintf(c, "client %d", i)
			c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != fmt.Sprintf("client %d", i) || err != nil {
				t.Errorf("client %d: %q, %v", i, got, err)
			}
		})
	}
	// All wait; there is no endpoint yet.
	pool.Set([]Endpoint{{ID: "one", Addr: netip.MustParseAddrPort(addr)}})
	wg.Wait()
	if n := most.Load(); n > 2 { // the server counts in its own time
		t.Errorf("%d connections at once", n)
	}
	testkit.Until(t, func() string {
		if e := pool.Endpoints()[0]; e.Active != 0 || pool.Waiting() != 0 {
			return fmt.Sprintf("%d active, %d waiting", e.Active, pool.Waiting())
		}
		return ""
	})
}

func TestQueueTimeout(t *testing.T) {
	p := &Proxy{}
	defer p.Close()
	var j journal
	j.attach(p)
	pool := NewPool(PoolOptions{Queue: 1, QueueTimeout: 50 * time.Millisecond})
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := wantReset(t, f.Addr()); err != nil {
		t.Error(err)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, errQueued) || e.Endpoint != "" {
		t.Errorf("event: %+v", e)
	}
}

// TestEndpointLeaves cuts its connections after the time it has.
func TestEndpointLeaves(t *testing.T) {
	addr := server(t, copyBack)
	p := &Proxy{}
	defer p.Close()
	var j journal
	j.attach(p)
	pool := NewPool(PoolOptions{DrainTimeout: 50 * time.Millisecond})
	pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort(addr)}})
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, f.Addr())
	talk(t, c)
	pool.Set([]Endpoint{{ID: "b", Addr: netip.MustParseAddrPort(addr)}})
	talk(t, connect(t, f.Addr()))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, ErrDrained) || e.Endpoint != "a" {
		t.Errorf("event: %+v", e)
	}
	if s := p.Stats(); s.Active != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestIdleTimeout(t *testing.T) {
	const limit = 400 * time.Millisecond
	var j journal
	p := &Proxy{IdleTimeout: limit}
	j.attach(p)
	c := connect(t, forward(t, p, server(t, copyBack)).Addr())
	// Busy for several limits, in smaller steps than one.
	for start := time.Now(); time.Since(start) < 3*limit; time.Sleep(limit / 10) {
		talk(t, c)
	}
	start := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d < limit/2 || d > limit+time.Second {
		t.Errorf("cut after %v", d)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, ErrIdle) {
		t.Errorf("event: %v", e.Err)
	}
}

// TestKeepAlive looks at the proxy's sockets: those of this process that are
// connected to the test's.
func TestKeepAlive(t *testing.T) {
	ip := address(t)
	for d, want := range map[time.Duration][2]int{-1: {0, 0}, 0: {1, 15}, 7 * time.Second: {1, 7}} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := &Proxy{KeepAlive: d}
			defer p.Close()
			f, err := p.Forward(t.Context(), "127.0.0.1:0", to(l.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			c := connect(t, f.Addr())
			b, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			for _, peer := range []net.Conn{c, b} {
				on, idle := keepAliveOf(t, opposite(t, peer))
				if on != want[0] || on == 1 && idle != want[1] {
					t.Errorf("keep-alive %d after %d s, want %v", on, idle, want)
				}
			}
		})
	}
}

// address is one of this host's that is not loopback.
func address(t *testing.T) string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if ip := a.(*net.IPNet).IP; ip.To4() != nil && !ip.IsLoopback() {
			return ip.String()
		}
	}
	t.Skip("this host has no address but loopback's")
	return ""
}

// opposite returns the descriptor, in this process, of the socket that c is
// connected to.
func opposite(t *testing.T, c net.Conn) int {
	t.Helper()
	for fd := 3; fd < 1000; fd++ {
		peer, err := unix.Getpeername(fd)
		if err != nil {
			continue
		}
		own, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		if addrPort(peer) == c.LocalAddr().String() && addrPort(own) == c.RemoteAddr().String() {
			return fd
		}
	}
	t.Fatalf("nobody has the other end of %s", c.LocalAddr())
	return -1
}

func addrPort(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()
	}
	return ""
}

func keepAliveOf(t *testing.T, fd int) (on, idle int) {
	t.Helper()
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	if err != nil {
		t.Fatal(err)
	}
	idle, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	if err != nil {
		t.Fatal(err)
	}
	return on, idle
}

// TestOptions looks at the proxy's own sockets once they have seen a second
// message: small ones are not held back, and over loopback nothing is paced.
func TestOptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		p := &Proxy{}
		defer p.Close()
		f, err := p.Forward(t.Context(), listen, to(l.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.Addr().(*net.TCPAddr).Port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for range 2 {
			for _, pair := range [][2]net.Conn{{c, b}, {b, c}} {
				io.WriteString(pair[0], "ping")
				if _, err := io.ReadFull(pair[1], make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, peer := range []net.Conn{c, b} {
			fd := opposite(t, peer)
			if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); on != 1 || err != nil {
				t.Errorf("%s: TCP_NODELAY is %d, %v", listen, on, err)
			}
			if paces(fd) {
				t.Errorf("%s: a socket over loopback is paced", listen)
			}
		}
	}
}
