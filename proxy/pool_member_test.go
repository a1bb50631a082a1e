package proxy

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var errRefused = fmt.Errorf("connect: %w", unix.ECONNREFUSED)

// failOn has a connection to the named endpoint fail.
func failOn(t *testing.T, p *Pool, id string) {
	t.Helper()
	pickOn(t, p, id).fail()
}

type picked struct{ *member }

func (m picked) fail() {
	m.failed(errRefused)
	m.release()
}

func pickOn(t *testing.T, p *Pool, id string) picked {
	t.Helper()
	for range 1000 {
		m := mustPick(t, p, netip.Addr{}, nil)
		if m.key.id == id {
			return picked{m}
		}
		m.release()
	}
	t.Fatalf("%s is not chosen", id)
	return picked{}
}

func wantState(t *testing.T, p *Pool, id string, want EndpointState) {
	t.Helper()
	for _, s := range p.Endpoints() {
		if s.ID == id && s.State != want {
			t.Errorf("%s is %v, want %v", id, s.State, want)
		}
	}
}

func TestEjectionAndReturn(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, PoolOptions{Policy: policy}, endpoints(3))
			failOn(t, p, "e1")
			wantState(t, p, "e1", EndpointAside)
			if n := shares(t, p, 1000, 0)["e1"]; n != 0 {
				t.Fatalf("chosen %d times while set aside", n)
			}
			// Each time is twice as long, less up to a half.
			for _, backoff := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
				time.Sleep(backoff/2 - time.Millisecond)
				if n := shares(t, p, 1000, 0)["e1"]; n != 0 {
					t.Fatalf("chosen before half of %v was over", backoff)
				}
				time.Sleep(backoff/2 + time.Millisecond)
				probe := pickOn(t, p, "e1")
				if n := shares(t, p, 1000, 0)["e1"]; n != 0 {
					t.Fatalf("chosen %d times more while it is probed", n)
				}
				probe.fail()
			}
			time.Sleep(time.Second)
			probe := pickOn(t, p, "e1")
			probe.connected(time.Millisecond)
			probe.release()
			wantState(t, p, "e1", EndpointReady)
			wantShares(t, shares(t, p, 3000, 0), map[string]float64{"e0": 1, "e1": 1, "e2": 1}, 0.1)
		})
	}
}

func TestEjectTimeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{}, endpoints(2))
		m := p.view.Load().members[1]
		for range 60 {
			failOn(t, p, "e1")
			left := time.Duration(m.aside.Load() - p.clock())
			if left < m.backoff/2 || left > m.backoff {
				t.Errorf("set aside for %v, want between half and all of %v", left, m.backoff)
			}
			time.Sleep(left)
		}
		if m.backoff != 30*time.Second {
			t.Errorf("back-off %v after 60 failures, want 30 s", m.backoff)
		}
	})
}

// TestBackoffIsRemembered: an endpoint that fails again soon after it was back
// stays away for longer than the first time; a good while later it does not.
func TestBackoffIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{}, endpoints(2))
		m := p.view.Load().members[1]
		back := func() {
			time.Sleep(m.backoff)
			probe := pickOn(t, p, "e1")
			probe.connected(1)
			probe.release()
		}
		failOn(t, p, "e1")
		back()
		failOn(t, p, "e1")
		if m.backoff != 200*time.Millisecond {
			t.Errorf("fails again at once: back-off %v, want 200 ms", m.backoff)
		}
		back()
		time.Sleep(2100 * time.Millisecond)
		failOn(t, p, "e1")
		if m.backoff != 100*time.Millisecond {
			t.Errorf("fails after two good seconds: back-off %v, want 100 ms", m.backoff)
		}
	})
}

func TestEjectAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{EjectAfter: 3}, endpoints(2))
		failOn(t, p, "e1")
		failOn(t, p, "e1")
		m := pickOn(t, p, "e1")
		m.connected(1) // in a row, they were not
		m.release()
		failOn(t, p, "e1")
		failOn(t, p, "e1")
		wantState(t, p, "e1", EndpointReady)
		failOn(t, p, "e1")
		wantState(t, p, "e1", EndpointAside)
	})
	p := newPool(t, PoolOptions{EjectAfter: -1}, endpoints(2))
	for range 20 {
		failOn(t, p, "e1")
	}
	wantState(t, p, "e1", EndpointReady)
}

// TestConcurrentFailuresCountOnce: connections that were under way together do
// not each double the back-off.
func TestConcurrentFailuresCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{}, endpoints(2))
		var tried triedSet
		tried.add(p.view.Load().members[0])
		var under []picked
		for range 3 {
			under = append(under, picked{mustPick(t, p, netip.Addr{}, &tried)})
		}
		for _, m := range under {
			m.fail()
		}
		if got := under[0].backoff; got != 100*time.Millisecond {
			t.Errorf("back-off %v, want 100 ms", got)
		}
	})
}

func TestOwnFailuresAreNotTheEndpoints(t *testing.T) {
	p := newPool(t, PoolOptions{}, endpoints(2))
	for _, err := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, fmt.Errorf("connect: %w", unix.EADDRNOTAVAIL)} {
		m := pickOn(t, p, "e1")
		m.failed(err)
		m.release()
	}
	wantState(t, p, "e1", EndpointReady)
	if n := p.Endpoints()[1].Failed; n != 4 {
		t.Errorf("%d failures counted, want 4", n)
	}
}

// TestLostProbe: a probe whose client went away does not keep the endpoint
// aside for ever.
func TestLostProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{}, endpoints(2))
		failOn(t, p, "e1")
		time.Sleep(100 * time.Millisecond)
		pickOn(t, p, "e1").release()
		time.Sleep(100 * time.Millisecond)
		m := pickOn(t, p, "e1")
		m.connected(1)
		m.release()
		wantState(t, p, "e1", EndpointReady)
	})
}

func TestAllSetAsideAreUsed(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, PoolOptions{Policy: policy}, endpoints(2))
			for i := range 2 {
				m := mustPick(t, p, clientAddr(i), nil)
				m.failed(errRefused)
				m.release()
			}
			wantState(t, p, "e0", EndpointAside)
			wantState(t, p, "e1", EndpointAside)
			if got := shares(t, p, 100, 0); len(got) != 2 {
				t.Errorf("%v: chosen %v, want both", policy, got)
			}
			// A client that has tried the one that is well tries the other.
			m := mustPick(t, p, clientAddr(0), nil)
			m.connected(1)
			var tried triedSet
			tried.add(m)
			if other := mustPick(t, p, clientAddr(0), &tried); other == m {
				t.Errorf("%v: chosen again", policy)
			}
		})
	}
}

// TestFullIsNotAside: while a well endpoint is full, those that are set aside
// are not used for it.
func TestFullIsNotAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{MaxConns: 1}, endpoints(2))
		failOn(t, p, "e1")
		mustPick(t, p, netip.Addr{}, nil)
		if m, err := p.pick(netip.Addr{}, nil); err != errFull {
			t.Errorf("%v, %v, want %v", m, err, errFull)
		}
	})
}

func TestSlowStart(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, PoolOptions{Policy: policy, SlowStart: 10 * time.Second}, endpoints(2))
			wantShares(t, shares(t, p, 4000, 100), map[string]float64{"e0": 1, "e1": 1}, 0.1)
			p.Set(endpoints(3))
			for _, step := range []struct {
				after time.Duration
				share float64
			}{{0, 0.1}, {5 * time.Second, 0.5}, {4 * time.Second, 0.9}, {time.Second, 1}} {
				time.Sleep(step.after)
				for _, hold := range []int{0, 100} {
					got := shares(t, p, 4000, hold)
					wantShares(t, got, map[string]float64{"e0": 1, "e1": 1, "e2": step.share}, 0.25)
				}
			}
			failOn(t, p, "e0")
			time.Sleep(100 * time.Millisecond)
			m := pickOn(t, p, "e0")
			m.connected(1)
			m.release()
			wantShares(t, shares(t, p, 4000, 100), map[string]float64{"e0": 0.1, "e1": 1, "e2": 1}, 0.2)
		})
	}
}
