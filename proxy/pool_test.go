package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
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
