package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

func TestUDPExpiry(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, p := forwardUDP(t, anyUDP, UDPOptions{IdleTimeout: 400 * time.Millisecond}, server.endpoint())
	busy, idle := udpClient(t, f.Addr()), udpClient(t, f.Addr())
	wantAnswer(t, idle, "x", "a:x")
	for end := time.Now().Add(900 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		wantAnswer(t, busy, "x", "a:x")
	}
	if s := f.Stats(); s.Active != 1 || s.Expired != 1 || s.Total != 2 {
		t.Errorf("while one is busy: %+v, want one flow of two", s)
	}
	wantUDPStats(t, f, func(s UDPStats) bool { return s.Active == 0 && s.Expired == 2 })
	if n := p.Endpoints()[0].Active; n != 0 {
		t.Errorf("the endpoint has %d flows", n)
	}
	wantAnswer(t, idle, "again", "a:again")
	wantUDPStats(t, f, func(s UDPStats) bool { return s.Active == 0 })

	// Nothing wakes it up now.
	before := f.wakeups.Load()
	time.Sleep(500 * time.Millisecond)
	if n := f.wakeups.Load() - before; n != 0 {
		t.Errorf("woke up %d times without flows", n)
	}
}

// TestUDPIdleFlowsSleep: with flows that nobody uses there is one wake-up at the
// end of each, not one per interval.
func TestUDPIdleFlowsSleep(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, _ := forwardUDP(t, anyUDP, UDPOptions{}, server.endpoint())
	for range 10 {
		wantAnswer(t, udpClient(t, f.Addr()), "x", "a:x")
	}
	before := f.wakeups.Load()
	time.Sleep(300 * time.Millisecond)
	if n := f.wakeups.Load() - before; n != 0 {
		t.Errorf("woke up %d times for flows that end in half a minute", n)
	}
}

// TestUDPTimeouts checks connection tracking's rules, with the loop's clock in
// the test's hand.
func TestUDPTimeouts(t *testing.T) {
	f := &UDPFront{flows: map[flowKey]*flow{}, byFD: map[int32]*flow{}}
	m := mustPick(t, newPool(t, PoolOptions{}, endpoints(1)), netip.Addr{}, nil)
	newFlow := func(port uint16) *flow {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fl := &flow{key: flowKey{port: port}, fd: fd, member: m, begun: f.now, last: f.now}
		f.flows[fl.key] = fl
		f.young.push(fl)
		return fl
	}
	oneWay, short, stream := newFlow(1), newFlow(2), newFlow(3)
	f.now = time.Second
	f.touch(oneWay)
	f.answered(short)
	f.answered(stream)
	f.now = 3 * time.Second
	f.touch(oneWay)
	f.touch(stream)
	for _, step := range []struct {
		now, next time.Duration
		left      int
	}{
		{now: 30 * time.Second, next: 31 * time.Second, left: 3},
		{now: 31 * time.Second, next: 33 * time.Second, left: 2},
		{now: 33 * time.Second, next: 123 * time.Second, left: 1},
		{now: 122 * time.Second, next: 123 * time.Second, left: 1},
		{now: 123 * time.Second, next: 0, left: 0},
	} {
		f.now = step.now
		f.expire()
		if next := f.nextExpiry(); next != step.next || len(f.flows) != step.left {
			t.Errorf("after %v: %d flows, the next ends at %v; want %d and %v", f.now, len(f.flows), next, step.left, step.next)
		}
	}
}

func TestUDPMaxFlows(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	f, _ := forwardUDP(t, anyUDP, UDPOptions{MaxFlows: 3}, server.endpoint())
	var clients []*net.UDPConn
	for range 4 {
		c := udpClient(t, f.Addr())
		wantAnswer(t, c, "x", "a:x")
		clients = append(clients, c)
	}
	if s := f.Stats(); s.Active != 3 || s.Evicted != 1 || s.Total != 4 {
		t.Errorf("counters: %+v, want 3 of 4 flows", s)
	}
	for _, c := range clients[1:] { // those are still the same flows
		wantAnswer(t, c, "y", "a:y")
	}
	if s := f.Stats(); s.Total != 4 {
		t.Errorf("counters: %+v, want the last three to have stayed", s)
	}
	wantAnswer(t, clients[0], "y", "a:y") // one that was ended comes back
}

func TestUDPEndpointLeaves(t *testing.T) {
	a, b := newUDPServer(t, "a", nil), newUDPServer(t, "b", nil)
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, a.endpoint())
	c := udpClient(t, f.Addr())
	wantAnswer(t, c, "x", "a:x")
	p.Set([]Endpoint{b.endpoint()})
	wantAnswer(t, c, "x", "b:x")
	if e := p.Endpoints(); len(e) != 1 || e[0].Active != 1 {
		t.Errorf("endpoints: %+v, want b with the flow", e)
	}
	p.Set(nil) // nothing better: stay
	wantAnswer(t, c, "x", "b:x")
}

// unusedUDP returns an address at which nobody listens.
func unusedUDP(t testing.TB) netip.AddrPort {
	t.Helper()
	c := listenUDP(t, anyUDP)
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestUDPRefused: no client's datagram is lost to an endpoint on this machine
// that does not listen.
func TestUDPRefused(t *testing.T) {
	server := newUDPServer(t, "a", nil)
	dead := Endpoint{ID: "dead", Addr: unusedUDP(t)}
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, dead, server.endpoint())
	for range 20 {
		wantAnswer(t, udpClient(t, f.Addr()), "x", "a:x")
	}
	e := p.Endpoints()[1]
	if e.ID != "dead" || e.Failed == 0 || e.Active != 0 || e.State != EndpointAside {
		t.Errorf("endpoint: %+v, want it to be set aside", e)
	}
}

func TestUDPRefusedByAll(t *testing.T) {
	var log testLog
	dead := Endpoint{ID: "dead", Addr: unusedUDP(t)}
	f, p := forwardUDP(t, anyUDP, UDPOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}, dead)
	c := udpClient(t, f.Addr())
	for i := range 3 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		wantUDPStats(t, f, func(s UDPStats) bool { return s.Dropped == uint64(i+1) && s.Active == 0 })
	}
	if e := p.Endpoints()[0]; e.Failed != 3 || e.Active != 0 {
		t.Errorf("endpoint: %+v, want three failures", e)
	}
	if s := log.String(); !strings.Contains(s, "no endpoint") || strings.Count(s, "\n") != 1 {
		t.Errorf("log:\n%s\nwant one line", s)
	}
	// It begins to listen.
	newUDPServer(t, "dead", listenUDP(t, dead.Addr))
	wantAnswer(t, c, "y", "dead:y")
}

// TestUDPEndpointDies: the client's next datagrams go elsewhere.
func TestUDPEndpointDies(t *testing.T) {
	a, b := newUDPServer(t, "a", nil), newUDPServer(t, "b", nil)
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, a.endpoint())
	c := udpClient(t, f.Addr())
	wantAnswer(t, c, "x", "a:x")
	p.Set([]Endpoint{a.endpoint(), b.endpoint()})
	a.close()
	c.Write([]byte("lost"))
	testkit.Until(t, func() string {
		if e := p.Endpoints(); e[0].State != EndpointAside || e[1].Active != 1 {
			return fmt.Sprintf("%+v", e)
		}
		return ""
	})
	wantAnswer(t, c, "y", "b:y")
	if s := f.Stats(); s.Total != 1 {
		t.Errorf("counters: %+v, want one flow", s)
	}
}

// TestUDPOneWay: an endpoint that never answers, and does not refuse either, is
// taken back after it was set aside.
func TestUDPOneWay(t *testing.T) {
	silent := listenUDP(t, anyUDP)
	defer silent.Close()
	f, p := forwardUDP(t, anyUDP, UDPOptions{}, Endpoint{ID: "s", Addr: silent.LocalAddr().(*net.UDPAddr).AddrPort()})
	p.view.Load().members[0].failed(errRefused)
	wantState(t, p, "s", EndpointAside)
	c := udpClient(t, f.Addr())
	testkit.Until(t, func() string {
		c.Write([]byte("log line"))
		if s := p.Endpoints()[0]; s.State != EndpointReady {
			return "the endpoint is " + s.State.String()
		}
		return ""
	})
}
