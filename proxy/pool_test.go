package proxy

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// endpoints makes n of them, named e0, e1 and so on, at different addresses.
func endpoints(n int) []Endpoint {
	list := make([]Endpoint, n)
	for i := range list {
		addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		list[i] = Endpoint{ID: fmt.Sprintf("e%d", i), Addr: netip.AddrPortFrom(addr, 80)}
	}
	return list
}

// newPool makes a pool whose draws are the same in each run.
func newPool(t testing.TB, o PoolOptions, list []Endpoint) *Pool {
	t.Helper()
	p := NewPool(o)
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	p.random = func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Uint64()
	}
	p.Set(list)
	return p
}

func clientAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func mustPick(t testing.TB, p *Pool, client netip.Addr, tried *triedSet) *member {
	t.Helper()
	m, err := p.pick(client, tried)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shares picks n times for different clients, letting each connection last for
// the next hold picks, and returns how often each endpoint was chosen.
func shares(t testing.TB, p *Pool, n, hold int) map[string]int {
	t.Helper()
	count := map[string]int{}
	var open []*member
	for i := range n {
		m := mustPick(t, p, clientAddr(i), nil)
		count[m.key.id]++
		if open = append(open, m); len(open) > hold {
			open[0].release()
			open = open[1:]
		}
	}
	for _, m := range open {
		m.release()
	}
	return count
}

// wantShares compares counts with weights, to within a tolerance.
func wantShares(t *testing.T, count map[string]int, weights map[string]float64, tolerance float64) {
	t.Helper()
	n, sum := 0, 0.0
	for _, c := range count {
		n += c
	}
	for _, w := range weights {
		sum += w
	}
	for id, w := range weights {
		got, want := float64(count[id])/float64(n), w/sum
		if math.Abs(got-want) > tolerance*want {
			t.Errorf("%s has %.4f of the connections, want %.4f within %.0f %%; all: %v", id, got, want, 100*tolerance, count)
		}
	}
	if len(count) != len(weights) {
		t.Errorf("chosen: %v, want only %v", count, weights)
	}
}

func TestPoolDistribution(t *testing.T) {
	weighted := endpoints(4)
	weighted[1].Weight, weighted[2].Weight, weighted[3].Weight = 2, 3, 10
	for _, test := range []struct {
		name      string
		policy    Policy
		hold      int
		list      []Endpoint
		want      map[string]float64
		tolerance float64
	}{
		{"one", Random, 0, endpoints(1), map[string]float64{"e0": 1}, 0},
		{"idle", Random, 0, endpoints(3), map[string]float64{"e0": 1, "e1": 1, "e2": 1}, 0.05},
		{"idle", Random, 0, weighted, map[string]float64{"e0": 1, "e1": 2, "e2": 3, "e3": 10}, 0.1},
		{"busy", Random, 160, weighted, map[string]float64{"e0": 1, "e1": 2, "e2": 3, "e3": 10}, 0.1},
		{"idle", RoundRobin, 0, endpoints(3), map[string]float64{"e0": 1, "e1": 1, "e2": 1}, 0.001},
		{"idle", RoundRobin, 0, weighted, map[string]float64{"e0": 1, "e1": 2, "e2": 3, "e3": 10}, 0.01},
		{"idle", SourceHash, 0, endpoints(3), map[string]float64{"e0": 1, "e1": 1, "e2": 1}, 0.05},
		{"idle", SourceHash, 0, weighted, map[string]float64{"e0": 1, "e1": 2, "e2": 3, "e3": 10}, 0.06},
	} {
		t.Run(fmt.Sprintf("%v/%s/%d", test.policy, test.name, len(test.list)), func(t *testing.T) {
			p := newPool(t, PoolOptions{Policy: test.policy}, test.list)
			wantShares(t, shares(t, p, 20000, test.hold), test.want, test.tolerance)
		})
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	p := newPool(t, PoolOptions{Policy: RoundRobin}, endpoints(3))
	var got []string
	for range 6 {
		got = append(got, mustPick(t, p, netip.Addr{}, nil).key.id)
	}
	if want := []string{"e0", "e1", "e2", "e0", "e1", "e2"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// TestLeastConnections has one endpoint whose connections last: it gets no more
// than it can have while the others are idle.
func TestLeastConnections(t *testing.T) {
	p := newPool(t, PoolOptions{}, endpoints(3))
	for range 3000 {
		if m := mustPick(t, p, netip.Addr{}, nil); m.key.id != "e1" {
			m.release()
		}
	}
	// Two idle ones are drawn now and then and the slow one wins against
	// neither, once it has a connection.
	for _, s := range p.Endpoints() {
		if s.ID == "e1" && s.Active != 1 {
			t.Errorf("the endpoint that never ends a connection has %d, want 1", s.Active)
		}
	}
}

// TestTwoChoicesIsEven bounds the difference that connections which last make:
// two choices differ by some log log n, one by more than the root of n/m.
func TestTwoChoicesIsEven(t *testing.T) {
	p := newPool(t, PoolOptions{}, endpoints(10))
	for range 10000 {
		mustPick(t, p, netip.Addr{}, nil)
	}
	low, high := math.MaxInt, 0
	for _, s := range p.Endpoints() {
		low, high = min(low, s.Active), max(high, s.Active)
	}
	if high-low > 8 {
		t.Errorf("endpoints have %d to %d connections, want them within 8", low, high)
	}
}

func TestTriedEndpointsAreLeftOut(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		p := newPool(t, PoolOptions{Policy: policy, Affinity: time.Hour}, endpoints(4))
		var tried triedSet
		seen := map[string]bool{}
		for range 4 {
			m := mustPick(t, p, clientAddr(1), &tried)
			if seen[m.key.id] {
				t.Errorf("%v: %s twice", policy, m.key.id)
			}
			seen[m.key.id] = true
			tried.add(m)
			m.release()
		}
		if _, err := p.pick(clientAddr(1), &tried); err != errNoEndpoint {
			t.Errorf("%v: all were tried: %v, want %v", policy, err, errNoEndpoint)
		}
	}
}

func TestTriedSetForgetsTheOldest(t *testing.T) {
	var tried triedSet
	for i := range 7 {
		tried.add(&member{serial: uint32(i + 1)})
	}
	for i := range 7 {
		if got, want := tried.has(&member{serial: uint32(i + 1)}), i > 0; got != want {
			t.Errorf("after seven, has(%d) = %v, want %v", i+1, got, want)
		}
	}
}

func TestEmptyPool(t *testing.T) {
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		p := newPool(t, PoolOptions{Policy: policy}, nil)
		if _, err := p.pick(clientAddr(1), nil); err != errNoEndpoint {
			t.Errorf("%v: %v, want %v", policy, err, errNoEndpoint)
		}
	}
}

func TestPoolMaxConns(t *testing.T) {
	list := endpoints(3)
	list[1].MaxConns, list[2].MaxConns = 5, -1
	for _, policy := range []Policy{Random, RoundRobin, SourceHash} {
		p := newPool(t, PoolOptions{Policy: policy, MaxConns: 2}, list)
		for i := range 100 {
			mustPick(t, p, clientAddr(i), nil)
		}
		var got []int
		for _, s := range p.Endpoints() {
			got = append(got, s.Active)
		}
		if want := []int{2, 5, 93}; !slices.Equal(got, want) {
			t.Errorf("%v: %v connections, want %v", policy, got, want)
		}
		p.Set(list[:2])
		if _, err := p.pick(clientAddr(1), nil); err != errFull {
			t.Errorf("%v: %v, want %v", policy, err, errFull)
		}
	}
}

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

func TestSetKeepsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{DrainTimeout: time.Second}, endpoints(3))
		var left []*member
		stop := p.watch(func(l []*member) { left = append(left, l...) })
		failOn(t, p, "e1")
		kept := pickOn(t, p, "e2")
		kept.connected(time.Millisecond)
		kept.in.Add(5)

		list := endpoints(4)[1:]
		list[1].Weight = 7
		p.Set(list)
		wantState(t, p, "e1", EndpointAside)
		s := p.Endpoints()
		if len(s) != 3 || s[1].ID != "e2" || s[1].Active != 1 || s[1].In != 5 || s[1].Latency.Count() != 1 {
			t.Errorf("after Set: %+v", s)
		}
		if w := kept.config.Load().weight; w != 7 {
			t.Errorf("weight %d, want the new one, 7", w)
		}
		if len(left) != 0 {
			t.Errorf("%d left with connections, want none: e0 had none", len(left))
		}

		p.Set(list[:1])
		if len(left) != 1 || left[0] != kept.member || !kept.draining.Load() {
			t.Fatalf("left: %v, want e2", left)
		}
		wantState(t, p, "e2", EndpointDraining)
		p.Set(list)
		wantState(t, p, "e2", EndpointReady)
		if kept.draining.Load() || p.view.Load().members[1] != kept.member {
			t.Error("an endpoint that came back is another one")
		}
		if got := p.Endpoints(); len(got) != 3 {
			t.Errorf("after one came back: %+v", got)
		}
		p.Set(list[:1])
		kept.release()
		if got := p.Endpoints(); len(got) != 1 {
			t.Errorf("after its last connection: %+v", got)
		}
		p.Set(nil)
		if len(p.leaving) != 0 {
			t.Errorf("%d members are still held", len(p.leaving))
		}
		stop()
		if len(p.watchers) != 0 {
			t.Error("the watcher is still there")
		}
	})
}

func TestSetTakesEachOnce(t *testing.T) {
	list := endpoints(3)
	list[1] = list[0]
	list[1].Weight = 9
	p := newPool(t, PoolOptions{}, list)
	if s := p.Endpoints(); len(s) != 2 || p.view.Load().members[0].config.Load().weight != 1 {
		t.Errorf("endpoints %+v, want e0 as given first, and e2", s)
	}
	// The same name at another address is another one.
	list[0].Addr = netip.MustParseAddrPort("127.0.0.9:1")
	p.Set(list[:1])
	if s := p.Endpoints(); len(s) != 1 || s[0].Addr != list[0].Addr {
		t.Errorf("endpoints %+v", s)
	}
}

func TestPoolValidate(t *testing.T) {
	for _, o := range []PoolOptions{
		{Policy: 3}, {Affinity: -1}, {SlowStart: -1}, {MaxConns: -1}, {Queue: -1}, {QueueTimeout: -1},
		{EjectTime: -1}, {MaxEjectTime: -1}, {EjectTime: 2, MaxEjectTime: 1}, {DrainTimeout: -1},
	} {
		if err := NewPool(o).Validate(); err == nil {
			t.Errorf("%+v is taken", o)
		} else {
			t.Log(err)
		}
	}
	if err := NewPool(PoolOptions{EjectTime: time.Minute}).Validate(); err != nil {
		t.Error(err)
	}
}

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
