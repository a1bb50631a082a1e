package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

// watch checks a pool until the test ends.
func watch(t *testing.T, p *Pool, c Check) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Watch(ctx, c); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func stateOf(p *Pool, id string) (s EndpointStats) {
	for _, e := range p.Endpoints() {
		if e.ID == id {
			s = e
		}
	}
	return s
}

func TestCheck(t *testing.T) {
	var j journal
	pr := &Proxy{}
	j.attach(pr)
	good, late := server(t, copyBack), refused(t)
	pool := NewPool(PoolOptions{Policy: RoundRobin})
	pool.Set([]Endpoint{{ID: "good", Addr: netip.MustParseAddrPort(good)}, {ID: "late", Addr: netip.MustParseAddrPort(late)}})
	watch(t, pool, Check{Interval: 10 * time.Millisecond, Rise: 2, Fall: 2, Log: pr.Log})
	testkit.Eventually(t, "the one is down and the other is up", func() bool {
		return stateOf(pool, "late").State == EndpointDown && stateOf(pool, "good").Checks > 0
	})
	if s := stateOf(pool, "late"); !errors.Is(s.CheckError, unix.ECONNREFUSED) || s.ChecksFailed == 0 {
		t.Errorf("%+v", s)
	}
	for range 20 {
		if m := mustPick(t, pool, netip.Addr{}, nil); m.key.id != "good" {
			t.Fatal("chosen while it is down")
		} else {
			m.release()
		}
	}
	l, err := net.Listen("tcp", late)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is up", func() bool { return stateOf(pool, "late").State == EndpointReady })
	before := stateOf(pool, "late").ChecksFailed
	l.Close()
	testkit.Eventually(t, "it is down again", func() bool { return stateOf(pool, "late").State == EndpointDown })
	if n := stateOf(pool, "late").ChecksFailed - before; n < 2 {
		t.Errorf("down after %d failures, want 2", n)
	}
	for _, line := range []string{"the endpoint is down", "the endpoint is up"} {
		testkit.Eventually(t, line, func() bool { return j.lines(line) > 0 })
	}
}

// TestCheckAllDown has a client wait for the only endpoint.
func TestCheckAllDown(t *testing.T) {
	addr := refused(t)
	pool := NewPool(PoolOptions{Queue: 1, QueueTimeout: testkit.Patience})
	pool.Set([]Endpoint{{ID: "late", Addr: netip.MustParseAddrPort(addr)}})
	p := &Proxy{}
	t.Cleanup(func() { p.Close() })
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	watch(t, pool, Check{Interval: 10 * time.Millisecond})
	testkit.Eventually(t, "it is down", func() bool { return stateOf(pool, "late").State == EndpointDown })
	c := connect(t, f.Addr())
	testkit.Eventually(t, "the client waits", func() bool { return pool.Waiting() == 1 })
	// One more is turned away: nobody tries what is down.
	before := stateOf(pool, "late").Total
	if err := wantReset(t, f.Addr()); err != nil {
		t.Error(err)
	}
	if n := stateOf(pool, "late").Total; n != before {
		t.Errorf("it was chosen %d times", n-before)
	}
	l, err := net.Listen("tcp", addr)
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
			wg.Go(func() { copyBack(c.(*net.TCPConn)); c.Close() })
		}
	})
	talk(t, c)
	c.Close()
}

// TestCheckTimeout has an endpoint that does not answer.
func TestCheckTimeout(t *testing.T) {
	to := netip.MustParseAddrPort(deaf(t))
	start := time.Now()
	err := tryConnect(t.Context(), nil, to, 50*time.Millisecond)
	if !errors.Is(err, unix.ETIMEDOUT) || time.Since(start) > testkit.Patience/2 {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestCheckValidate(t *testing.T) {
	for field, c := range map[string]Check{"Interval": {Interval: -1}, "Timeout": {Timeout: -1}, "Rise": {Rise: -1}, "Fall": {Fall: -1}} {
		if err := NewPool(PoolOptions{}).Watch(t.Context(), c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
