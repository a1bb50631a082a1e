package proxy

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestPickAllocatesNothing(t *testing.T) {
	weighted := endpoints(30)
	weighted[3].Weight = 5
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		for _, list := range [][]Endpoint{endpoints(1), endpoints(3), weighted} {
			p := newPool(t, PoolOptions{Policy: policy, Affinity: time.Hour, MaxConns: 10}, list)
			mustPick(t, p, clientAddr(1), nil).connected(1) // makes the table and the histogram
			var tried triedSet
			if n := testing.AllocsPerRun(100, func() {
				m, err := p.pick(clientAddr(1), &tried)
				if err != nil {
					t.Fatal(err)
				}
				m.connected(time.Millisecond)
				m.release()
			}); n != 0 {
				t.Errorf("%v of %d: %v allocations", policy, len(list), n)
			}
		}
	}
}

// TestPoolMemory bounds what a thousand services cost: all of a proxy for them
// is to stay below 64 MiB.
func TestPoolMemory(t *testing.T) {
	measure := func(policy Policy, list []Endpoint, use bool) int64 {
		var before, after runtime.MemStats
		pools := make([]*Pool, 1000)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range pools {
			pools[i] = NewPool(PoolOptions{Policy: policy})
			pools[i].Set(list)
			for j := 0; use && j < 30; j++ {
				m := mustPick(t, pools[i], clientAddr(j), nil)
				m.connected(1)
				m.release()
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(pools)
		return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(len(pools))
	}
	for _, test := range []struct {
		policy Policy
		use    bool
		bound  int64
	}{{Random, false, 2 << 10}, {Random, true, 8 << 10}, {SourceHash, true, 12 << 10}} {
		n := measure(test.policy, endpoints(3), test.use)
		t.Logf("%v, used: %v: %d bytes a pool of 3 endpoints (Pool %d, member %d, Histogram %d)",
			test.policy, test.use, n, unsafe.Sizeof(Pool{}), unsafe.Sizeof(member{}), unsafe.Sizeof(Histogram{}))
		if n > test.bound {
			t.Errorf("%v, used: %v: %d bytes, want at most %d", test.policy, test.use, n, test.bound)
		}
	}
}

// TestPoolConcurrently has many goroutines choose, fail, wait and change the
// set; in the end every connection must be accounted for.
func TestPoolConcurrently(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		p := NewPool(PoolOptions{Policy: policy, MaxConns: 3, Queue: 4, Affinity: time.Minute, EjectTime: time.Microsecond, SlowStart: time.Millisecond})
		p.Set(endpoints(4))
		var users, changer sync.WaitGroup
		stop := make(chan struct{})
		changer.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					p.Set(endpoints(1 + i%6))
					p.Endpoints()
					runtime.Gosched() // there may be one processor only
				}
			}
		})
		for g := range 8 {
			users.Go(func() {
				for i := range 500 {
					useOnce(p, clientAddr(g*10+i%10), i)
				}
			})
		}
		users.Wait()
		close(stop)
		changer.Wait()
		p.Set(endpoints(6))
		for _, s := range p.Endpoints() {
			if s.Active != 0 {
				t.Errorf("%v: %s has %d connections left", policy, s.ID, s.Active)
			}
		}
		if n := p.Waiting(); n != 0 || p.queue.first != nil {
			t.Errorf("%v: %d wait", policy, n)
		}
	}
}

func useOnce(p *Pool, client netip.Addr, i int) {
	m, err := p.pick(client, nil)
	if err != nil {
		given := make(chan *member, 1)
		w, now, err := p.wait(client, nil, func(m *member) { given <- m })
		switch {
		case errors.Is(err, errQueueFull):
			return
		case now != nil:
			m = now
		case i%3 == 0 && w.cancel():
			return
		default:
			m = <-given
		}
	}
	if i%7 == 0 {
		m.failed(errRefused)
	} else {
		m.connected(time.Duration(i))
	}
	runtime.Gosched()
	m.release()
}
