package proxy

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func mapped(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }

func TestAffinity(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, PoolOptions{Policy: policy, Affinity: time.Minute}, endpoints(5))
			first := map[int]*member{}
			for i := range 50 {
				first[i] = mustPick(t, p, clientAddr(i), nil)
			}
			stays := func() (n int) {
				for i := range 50 {
					m := mustPick(t, p, mapped(clientAddr(i)), nil)
					if m.release(); m == first[i] {
						n++
					}
				}
				return n
			}
			for range 3 { // each connection is a new minute
				time.Sleep(59 * time.Second)
				if n := stays(); n != 50 {
					t.Errorf("%v: %d of 50 clients stay", policy, n)
				}
			}
			time.Sleep(time.Minute)
			mustPick(t, p, clientAddr(100), nil) // moves round robin on
			if n := stays(); n > 30 {
				t.Errorf("%v: %d of 50 clients stay after their time", policy, n)
			}
		})
	}
}

func TestAffinityEndsWithTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{Affinity: time.Hour, MaxConns: 2}, endpoints(3))
		client := clientAddr(1)
		a := mustPick(t, p, client, nil)
		a.release()

		// Full: elsewhere for one connection.
		a.enter()
		a.enter()
		if m := mustPick(t, p, client, nil); m == a {
			t.Error("went to a full endpoint")
		} else {
			m.release()
		}
		a.release()
		a.release()
		if m := mustPick(t, p, client, nil); m != a {
			t.Error("did not come back to an endpoint that was full")
		} else {
			// Failed: to another one, and stays there.
			m.failed(errRefused)
			m.release()
		}
		b := mustPick(t, p, client, nil)
		b.release()
		time.Sleep(time.Second)
		probe := pickOn(t, p, a.key.id)
		probe.connected(1)
		probe.release()
		if m := mustPick(t, p, client, nil); m != b {
			t.Error("left the endpoint that it had last")
		} else {
			m.release()
		}
		// Gone from the pool.
		var rest []Endpoint
		for _, e := range endpoints(3) {
			if e.ID != b.key.id {
				rest = append(rest, e)
			}
		}
		p.Set(rest)
		if m := mustPick(t, p, client, nil); m == b {
			t.Error("went to an endpoint that has left")
		}
	})
}

func TestAffinityIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{Affinity: time.Hour}, endpoints(3))
		for i := range 3 * maxAffinity {
			time.Sleep(time.Microsecond)
			mustPick(t, p, clientAddr(i), nil).release()
		}
		if n := len(p.sticky.sets) * affinityWays; n != maxAffinity {
			t.Errorf("%d entries, want %d", n, maxAffinity)
		}
		// The newest are remembered, the oldest are not.
		now := p.clock()
		known := func(from, n int) (count int) {
			for i := range n {
				if p.sticky.lookup(clientAddr(from+i), now) != nil {
					count++
				}
			}
			return count
		}
		if n := known(3*maxAffinity-maxAffinity/4, maxAffinity/4); n < maxAffinity/4*99/100 {
			t.Errorf("of the last %d clients %d are known", maxAffinity/4, n)
		}
		if n := known(0, maxAffinity); n > maxAffinity/100 {
			t.Errorf("of the first %d clients %d are known", maxAffinity, n)
		}
	})
}

// TestAffinityGrowsSlowly: memory follows the clients of the last while.
func TestAffinityGrowsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{Affinity: time.Second}, endpoints(3))
		for i := range 20000 {
			time.Sleep(100 * time.Millisecond)
			mustPick(t, p, clientAddr(i), nil).release()
		}
		if n := len(p.sticky.sets) * affinityWays; n > 256 {
			t.Errorf("%d entries for some ten clients at a time", n)
		}
	})
}
