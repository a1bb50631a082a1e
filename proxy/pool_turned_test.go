package proxy

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestTurnedAway has each reason why a client gets no endpoint.
func TestTurnedAway(t *testing.T) {
	addr := netip.MustParseAddrPort(server(t, copyBack))
	pool := NewPool(PoolOptions{MaxConns: 1, Queue: 1, QueueTimeout: 50 * time.Millisecond})
	p := &Proxy{}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	turned := func(n int) {
		t.Helper()
		for range n {
			if err := wantReset(t, f.Addr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	pool.Set([]Endpoint{{ID: "a", Addr: addr}})
	talking := connect(t, f.Addr())
	talk(t, talking)
	turned(1)
	pool.Set([]Endpoint{{ID: "b", Addr: netip.MustParseAddrPort(refused(t))}})
	turned(2)
	pool.Set([]Endpoint{{ID: "a", Addr: addr, MaxConns: 1}})
	waiting := connect(t, f.Addr())
	testkit.Until(t, func() string {
		if pool.Waiting() == 0 {
			return "nobody waits"
		}
		return ""
	})
	turned(1)
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
	got, want := pool.TurnedAway(), TurnedAway{Full: 1, Queued: 2, Unreachable: 2}
	if got != want || got.Sum() != 5 {
		t.Errorf("%+v, want %+v", got, want)
	}

	empty := forward(t, &Proxy{DialRetry: time.Hour}, refused(t))
	empty.pool.Set(nil)
	if err := wantReset(t, empty.Addr()); err != nil {
		t.Fatal(err)
	}
	if got := empty.pool.TurnedAway(); got != (TurnedAway{NoEndpoint: 1}) {
		t.Errorf("without endpoints: %+v", got)
	}
}
