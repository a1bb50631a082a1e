package proxy

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestLoopsShare has clients that come one after the other and stay.
func TestLoopsShare(t *testing.T) {
	const loops, clients = 3, 60
	p := &Proxy{Loops: loops}
	f := forward(t, p, server(t, copyBack))
	for range clients {
		talk(t, connect(t, f.Addr()))
	}
	total := 0
	for i, l := range p.loops {
		n := int(l.load.Load())
		total += n
		if n < clients/loops/2 {
			t.Errorf("loop %d has %d connections of %d", i, n, clients)
		}
	}
	if total != clients {
		t.Errorf("all loops together have %d connections of %d", total, clients)
	}
}

// TestLoopsAreCommon has two proxies that come and go on the same loops.
func TestLoopsAreCommon(t *testing.T) {
	addr := server(t, copyBack)
	a, b, own := &Proxy{}, &Proxy{}, &Proxy{Loops: 2}
	fa, fb := forward(t, a, addr), forward(t, b, addr)
	forward(t, own, addr)
	if len(a.loops) == 0 || len(a.loops) != len(b.loops) || a.loops[0] != b.loops[0] {
		t.Errorf("%d loops and %d", len(a.loops), len(b.loops))
	}
	if len(own.loops) != 2 || own.loops[0] == a.loops[0] {
		t.Error("a proxy that wants loops of its own has others")
	}
	before := a.loops[0]
	ca, cb := connect(t, fa.Addr()), connect(t, fb.Addr())
	talk(t, ca)
	talk(t, cb)
	a.Close()
	if _, err := ca.Read(make([]byte, 1)); err == nil {
		t.Error("a connection goes on after its proxy was closed")
	}
	talk(t, cb)
	b.Close()
	<-before.ended
	c := &Proxy{}
	talk(t, connect(t, forward(t, c, addr).Addr()))
	if c.loops[0] == before {
		t.Error("loops that have ended are used again")
	}
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6:", err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			copyBack(c.(*net.TCPConn))
			c.Close()
		}
	}()
	p := &Proxy{}
	defer p.Close()
	var j journal
	j.attach(p)
	for _, listen := range []string{"[::1]:0", "[::]:0", "127.0.0.1:0"} {
		f, err := p.Forward(t.Context(), listen, to(l.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		addr := *f.Addr().(*net.TCPAddr)
		if addr.IP.IsUnspecified() {
			addr.IP = net.IPv4(127, 0, 0, 1)
		}
		c := connect(t, &addr)
		talk(t, c)
		c.Close()
		if e := j.ended(t, 1)[0]; e.Client.String() != c.LocalAddr().String() || e.Backend.String() != l.Addr().String() {
			t.Errorf("%s: %+v, client %s", listen, e, c.LocalAddr())
		}
		j.mu.Lock()
		j.closed = nil
		j.mu.Unlock()
	}
}

// TestNoGarbage counts what forwarding allocates: nothing for each message.
func TestNoGarbage(t *testing.T) {
	c := connect(t, forward(t, &Proxy{}, server(t, echoes)).Addr())
	buf := make([]byte, 64)
	rounds := func(n int) (mallocs uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if _, err := c.Write(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	rounds(100)
	const n = 2000
	if got := rounds(n); got > n/10 {
		t.Errorf("%d allocations for %d messages", got, n)
	}
}

// TestWorldStops has loops wait for the next byte, in a call that Go does not
// know of, while Go stops the world.
func TestWorldStops(t *testing.T) {
	f := forward(t, &Proxy{Loops: 2 * runtime.GOMAXPROCS(0)}, server(t, copyBack))
	var conns []net.Conn
	for range 4 * runtime.GOMAXPROCS(0) {
		conns = append(conns, connect(t, f.Addr()))
	}
	worst := time.Duration(0)
	for range 50 {
		for _, c := range conns {
			talk(t, c)
		}
		start := time.Now()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		worst = max(worst, time.Since(start))
	}
	t.Logf("the longest stop took %v", worst)
	if worst > time.Second {
		t.Errorf("a stop took %v", worst)
	}
}

// TestSocketsOfEndpoint uses what Sockets makes, and nothing else.
func TestSocketsOfEndpoint(t *testing.T) {
	var made atomic.Int32
	src := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		fds, err := makeSockets(domain, typ, n)
		for _, fd := range fds {
			made.Add(1)
			// The endpoint sees where they come from.
			if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 7}}); err != nil {
				return nil, err
			}
		}
		return fds, err
	}}
	defer src.Close()
	addr := server(t, func(c *net.TCPConn) { io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String()) })
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{Addr: netip.MustParseAddrPort(addr), Sockets: src}})
	p := &Proxy{Loops: 2}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	const clients = 200
	var wg sync.WaitGroup
	for range clients {
		c := connect(t, f.Addr())
		wg.Go(func() {
			if got, err := io.ReadAll(c); string(got) != "127.0.0.7" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			c.Close()
		})
	}
	wg.Wait()
	ready, _ := src.ready()
	if n := int(made.Load()); n < clients || n > clients+maxStock {
		t.Errorf("%d sockets were made for %d clients, %d are ready", n, clients, ready)
	}
}

// TestSocketTooLate is made when nobody waits for it any more, and not lost.
func TestSocketTooLate(t *testing.T) {
	for name, end := range map[string]func(p *Proxy, c *net.TCPConn){
		"client": func(p *Proxy, c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"proxy":  func(p *Proxy, c *net.TCPConn) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			asked, go_ := make(chan struct{}), make(chan struct{})
			src := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
				close(asked)
				<-go_
				return makeSockets(domain, typ, 1)
			}}
			defer src.Close()
			pool := NewPool(PoolOptions{})
			pool.Set([]Endpoint{{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Sockets: src}})
			p := &Proxy{}
			defer p.Close()
			var j journal
			j.attach(p)
			f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
			if err != nil {
				t.Fatal(err)
			}
			c := connect(t, f.Addr())
			<-asked
			end(p, c)
			j.ended(t, 1)
			close(go_)
			testkit.Until(t, func() string {
				if n, filling := src.ready(); n != 1 || filling {
					return fmt.Sprintf("%d sockets are ready", n)
				}
				return ""
			})
		})
	}
}

// TestPortsRunOut has a socket for which there is no port left, as far as the
// kernel is concerned: that is not the endpoint's fault, and may soon be over.
func TestPortsRunOut(t *testing.T) {
	addr := server(t, copyBack)
	reuse := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	taken, err := (&net.Dialer{LocalAddr: here, Control: reuse}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	local := taken.LocalAddr().(*net.TCPAddr)
	var calls atomic.Int32
	src := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		fds, err := makeSockets(domain, typ, 1)
		if err == nil && calls.Add(1) <= 3 {
			unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			err = unix.Bind(fds[0], &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: local.Port})
		}
		return fds, err
	}}
	defer src.Close()
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{Addr: netip.MustParseAddrPort(addr), Sockets: src}})
	p := &Proxy{}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	talk(t, connect(t, f.Addr()))
	if e := pool.Endpoints()[0]; e.State != EndpointReady || e.Failed == 0 {
		t.Errorf("%+v", e)
	}
}
