package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

// answerTime bounds what should come at once.
const answerTime = 5 * time.Second

var anyUDP = netip.MustParseAddrPort("127.0.0.1:0")

// udpServer answers each datagram with name, a colon and the datagram, until
// the test ends or it is closed. It counts where they come from.
type udpServer struct {
	name string
	conn *net.UDPConn
	done chan struct{}

	mu      sync.Mutex
	sources map[netip.AddrPort]int
}

func newUDPServer(t testing.TB, name string, conn *net.UDPConn) *udpServer {
	t.Helper()
	s := &udpServer{name: name, conn: conn, done: make(chan struct{}), sources: map[netip.AddrPort]int{}}
	if conn == nil {
		s.conn = listenUDP(t, anyUDP)
	}
	go s.serve()
	t.Cleanup(s.close)
	return s
}

func listenUDP(t testing.TB, addr netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *udpServer) serve() {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.sources[from]++
		s.mu.Unlock()
		answer := buf[:n]
		if s.name != "" {
			answer = append([]byte(s.name+":"), answer...)
		}
		s.conn.WriteToUDPAddrPort(answer, from)
	}
}

func (s *udpServer) close() { s.conn.Close(); <-s.done }

func (s *udpServer) flows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sources)
}

func (s *udpServer) endpoint() Endpoint {
	return Endpoint{ID: s.name, Addr: s.conn.LocalAddr().(*net.UDPAddr).AddrPort()}
}

// forwardUDP ends with the test.
func forwardUDP(t testing.TB, addr netip.AddrPort, o UDPOptions, list ...Endpoint) (*UDPFront, *Pool) {
	t.Helper()
	p := NewPool(PoolOptions{})
	p.Set(list)
	f, err := ForwardUDP(addr, p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		for _, s := range p.Endpoints() {
			if s.Active != 0 {
				t.Errorf("endpoint %s has %d flows left", s.ID, s.Active)
			}
		}
	})
	return f, p
}

// udpClient is a socket that takes datagrams from that address only.
func udpClient(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(answerTime))
	return c
}

func ask(c *net.UDPConn, question string) (string, error) {
	if _, err := c.Write([]byte(question)); err != nil {
		return "", err
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func wantAnswer(t testing.TB, c *net.UDPConn, question, answer string) {
	t.Helper()
	if got, err := ask(c, question); err != nil || got != answer {
		t.Errorf("asked %.40q: %.40q (%d bytes), %v; want %.40q", question, got, len(got), err, answer)
	}
}

func wantUDPStats(t *testing.T, f *UDPFront, ok func(UDPStats) bool) {
	t.Helper()
	testkit.Until(t, func() string {
		if s := f.Stats(); !ok(s) {
			return fmt.Sprintf("counters: %+v", s)
		}
		return ""
	})
}

func TestUDPManyClients(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	const clients, rounds = 100, 5
	var wg sync.WaitGroup
	for i := range clients {
		c := udpClient(t, f.Addr())
		wg.Go(func() {
			for j := range rounds {
				q := fmt.Sprintf("%d of %d", j, i)
				wantAnswer(t, c, q, "a:"+q)
			}
		})
	}
	wg.Wait()
	if n := server.flows(); n != clients {
		t.Errorf("the endpoint sees %d sources, want one for each of %d clients", n, clients)
	}
	// What was sent is counted a moment after it was.
	wantUDPStats(t, f, func(s UDPStats) bool {
		return s.Active == clients && s.Total == clients && s.DatagramsIn == clients*rounds && s.DatagramsOut == clients*rounds && s.Dropped == 0 && s.Out == s.In+2*clients*rounds
	})
	s := f.Stats()
	e := p.Endpoints()[0]
	if e.Active != clients || e.In != s.In || e.Out != s.Out || e.Latency.Count() != clients {
		t.Errorf("endpoint: %+v", e)
	}
}

func TestUDPSizes(t *testing.T) {
	server := newUDPServer(t, "", nil)
	f, _ := forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	c := udpClient(t, f.Addr())
	for _, size := range []int{0, 1, 1472, 1473, 9000, 65507} {
		q := strings.Repeat("0123456789", size/10+1)[:size]
		wantAnswer(t, c, q, q)
	}
}

// TestUDPBurst sends more at once than fits into one batch.
func TestUDPBurst(t *testing.T) {
	server := newUDPServer(t, "", nil)
	f, _ := forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	c := udpClient(t, f.Addr())
	const burst = 3*batchSize + 1
	for range 5 {
		for i := range burst {
			if _, err := c.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, 10)
		for i := range burst {
			if n, err := c.Read(buf); err != nil || n != 1 || buf[0] != byte(i) {
				t.Fatalf("answer %d: %v, %v", i, buf[:n], err)
			}
		}
	}
}

// TestUDPRepliesFromWhereTheyWereSentTo: a client takes replies only from the
// address that it has sent to, also where the proxy listens on all.
func TestUDPRepliesFromWhereTheyWereSentTo(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	for listen, to := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.1", "127.0.0.2", "127.99.1.1"},
		"[::]:0":    {"127.0.0.1", "127.0.0.2", "::1"},
		"[::1]:0":   {"::1"},
	} {
		f, _ := forwardUDP(t, netip.MustParseAddrPort(listen), UDPOptions{}, server.endpoint())
		for _, ip := range to {
			c := udpClient(t, netip.AddrPortFrom(netip.MustParseAddr(ip), f.Addr().Port()))
			wantAnswer(t, c, "who?", "a:who?")
		}
		// One client's socket, two of the proxy's addresses: two flows.
		if len(to) > 1 {
			c := listenUDP(t, anyUDP)
			c.SetDeadline(time.Now().Add(answerTime))
			for _, ip := range to[:2] {
				addr := netip.AddrPortFrom(netip.MustParseAddr(ip), f.Addr().Port())
				c.WriteToUDPAddrPort([]byte("x"), addr)
				if _, from, err := c.ReadFromUDPAddrPort(make([]byte, 10)); err != nil || from != addr {
					t.Errorf("%s: answer of %v to what was sent to %v: %v", listen, from, addr, err)
				}
			}
			c.Close()
		}
	}
}

func TestUDPNoDescriptors(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	failing := true
	s := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		if failing {
			failing = false
			return nil, unix.EMFILE
		}
		return makeSockets(domain, typ, n)
	}}
	defer s.Close()
	e := server.endpoint()
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, Endpoint{ID: e.ID, Addr: e.Addr, Sockets: s})
	c := udpClient(t, f.Addr())
	c.Write([]byte("dropped"))
	wantUDPStats(t, f, func(s UDPStats) bool { return s.Dropped == 1 })
	wantState(t, p, "a", EndpointReady)
	wantAnswer(t, c, "x", "a:x")
}

func TestUDPBetweenNamespaces(t *testing.T) {
	outer, inner := newNetns(t), newNetns(t)
	var server *udpServer
	inner.do(func() error { server = newUDPServer(t, "inner", nil); return nil })
	e := server.endpoint()
	e.Sockets = inner.sockets()
	f, _ := forwardUDP(t, netip.MustParseAddrPort("0.0.0.0:0"), UDPOptions{Sockets: outer.sockets()}, e)
	outer.do(func() error {
		c := udpClient(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), f.Addr().Port()))
		wantAnswer(t, c, "x", "inner:x")
		return nil
	})
}

func TestUDPGivenSocket(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	conn := listenUDP(t, anyUDP)
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	f, _ := forwardUDP(t, netip.AddrPort{}, UDPOptions{Socket: file}, server.endpoint())
	file.Close()
	conn.Close()
	wantAnswer(t, udpClient(t, f.Addr()), "x", "a:x")
}

func TestUDPShutdown(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, _ := forwardUDP(t, anyUDP, UDPOptions{IdleTimeout: time.Second}, server.endpoint())
	c, late := udpClient(t, f.Addr()), udpClient(t, f.Addr())
	wantAnswer(t, c, "x", "a:x")
	done := make(chan error, 1)
	go func() { done <- f.Shutdown(t.Context()) }()
	testkit.Until(t, func() string {
		if f.state.Load() != udpDraining {
			return "not draining"
		}
		return ""
	})
	late.Write([]byte("too late"))
	wantUDPStats(t, f, func(s UDPStats) bool { return s.Dropped == 1 })
	wantAnswer(t, c, "y", "a:y") // who was there goes on
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if s := f.Stats(); s.Total != 1 || s.Expired != 1 {
		t.Errorf("counters: %+v", s)
	}
}

func TestUDPShutdownCuts(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	wantAnswer(t, udpClient(t, f.Addr()), "x", "a:x")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := f.Shutdown(ctx); err != why {
		t.Errorf("shutdown: %v, want %v", err, why)
	}
	<-f.Done()
	if e := p.Endpoints()[0]; e.Active != 0 {
		t.Errorf("endpoint: %+v", e)
	}
	if err := f.Shutdown(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
	// The address is free.
	listenUDP(t, f.Addr()).Close()
}

func TestForwardUDPRefuses(t *testing.T) {
	p := NewPool(PoolOptions{})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	file, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	taken := listenUDP(t, anyUDP)
	defer taken.Close()
	for name, test := range map[string]struct {
		addr netip.AddrPort
		pool *Pool
		o    UDPOptions
		want error
	}{
		"no pool":        {anyUDP, nil, UDPOptions{}, ErrAddress},
		"no address":     {netip.AddrPort{}, p, UDPOptions{}, ErrAddress},
		"a TCP socket":   {anyUDP, p, UDPOptions{Socket: file}, ErrAddress},
		"taken":          {taken.LocalAddr().(*net.UDPAddr).AddrPort(), p, UDPOptions{}, unix.EADDRINUSE},
		"not ours":       {netip.MustParseAddrPort("192.0.2.1:0"), p, UDPOptions{}, unix.EADDRNOTAVAIL},
		"negative time":  {anyUDP, p, UDPOptions{IdleTimeout: -1}, nil},
		"negative flows": {anyUDP, p, UDPOptions{MaxFlows: -1}, nil},
		"bad pool":       {anyUDP, NewPool(PoolOptions{Queue: -1}), UDPOptions{}, nil},
	} {
		f, err := ForwardUDP(test.addr, test.pool, test.o)
		if err == nil {
			f.Close()
		}
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// testLog can be written to by others.
type testLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestUDPFrontIsSmall(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	before := threads(t)
	for range 50 {
		forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	}
	if n := threads(t) - before; n > 10 {
		t.Errorf("50 idle fronts take %d threads", n)
	}
}

func threads(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// BenchmarkUDP compares one question and answer at a time, with one client and
// with many, directly and through the proxy.
func BenchmarkUDP(b *testing.B) {
	for _, clients := range []int{1, 32} {
		for _, proxied := range []bool{false, true} {
			b.Run(fmt.Sprintf("clients=%d/proxied=%v", clients, proxied), func(b *testing.B) {
				server := newUDPServer(b, "", nil)
				addr := server.endpoint().Addr
				if proxied {
					f, _ := forwardUDP(b, anyUDP, UDPOptions{}, server.endpoint())
					addr = f.Addr()
				}
				b.ReportAllocs()
				var wg sync.WaitGroup
				for range clients {
					c := udpClient(b, addr)
					c.SetDeadline(time.Now().Add(time.Minute))
					wg.Go(func() {
						q, a := make([]byte, 100), make([]byte, 200)
						for range b.N/clients + 1 {
							c.Write(q)
							if _, err := c.Read(a); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
