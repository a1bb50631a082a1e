package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// line is a queue of named clients that records who was served.
type line struct {
	t    *testing.T
	pool *Pool

	mu     sync.Mutex
	served []string
	last   *member
}

func (l *line) join(name string, tried *triedSet) *waiter {
	l.t.Helper()
	w, m, err := l.pool.wait(netip.Addr{}, tried, func(m *member) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.served = append(l.served, name+" "+m.key.id)
		l.last = m
	})
	if err != nil || m != nil {
		l.t.Fatalf("%s: %v, %v, want to wait", name, m, err)
	}
	return w
}

func (l *line) want(served ...string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.served, served) {
		l.t.Errorf("served %q, want %q", l.served, served)
	}
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	p := newPool(t, PoolOptions{MaxConns: 1, Queue: 4}, endpoints(1))
	m := mustPick(t, p, netip.Addr{}, nil)
	l := &line{t: t, pool: p}
	l.join("a", nil)
	b := l.join("b", nil)
	l.join("c", nil)
	l.join("d", nil)
	if _, _, err := p.wait(netip.Addr{}, nil, nil); err != errQueueFull {
		t.Errorf("fifth of four: %v, want %v", err, errQueueFull)
	}
	if !b.cancel() || b.cancel() {
		t.Error("cancel: want true once")
	}
	m.release()
	l.want("a e0")
	if _, err := p.pick(netip.Addr{}, nil); err != errFull {
		t.Errorf("one who came later: %v, want %v", err, errFull)
	}
	l.last.release()
	l.want("a e0", "c e0")
	l.last.release()
	l.want("a e0", "c e0", "d e0")
	l.last.release()
	s := p.Endpoints()[0]
	if s.Active != 0 || s.Total != 4 || p.Waiting() != 0 {
		t.Errorf("%+v, %d waiting; want 0 active of 4, 0 waiting", s, p.Waiting())
	}
}

func TestWaitersAreServedBySet(t *testing.T) {
	p := newPool(t, PoolOptions{Queue: 10, MaxConns: 1}, nil)
	l := &line{t: t, pool: p}
	l.join("a", nil)
	l.join("b", nil)
	l.join("c", nil)
	p.Set(endpoints(1))
	l.want("a e0")
	more := endpoints(1)
	more[0].MaxConns = 2
	p.Set(more)
	l.want("a e0", "b e0")
	p.Set(nil) // its places are not handed on
	l.last.release()
	l.want("a e0", "b e0")
	p.Set(endpoints(2))
	l.want("a e0", "b e0", "c e1")
}

func TestWaiterGetsWhatItHasNotTried(t *testing.T) {
	p := newPool(t, PoolOptions{Queue: 10, MaxConns: 1}, endpoints(2))
	a, b := mustPick(t, p, netip.Addr{}, nil), mustPick(t, p, netip.Addr{}, nil)
	if a.key.id != "e0" {
		a, b = b, a
	}
	var tried triedSet
	tried.add(a)
	l := &line{t: t, pool: p}
	l.join("picky", &tried)
	l.join("other", nil)
	a.release()
	l.want("other e0")
	b.release()
	l.want("other e0", "picky e1")
}

// TestWaitFindsWhatCameBack is the case of a place that becomes free between
// pick and wait.
func TestWaitFindsWhatCameBack(t *testing.T) {
	p := newPool(t, PoolOptions{Queue: 1, MaxConns: 1}, endpoints(1))
	_, m, err := p.wait(netip.Addr{}, nil, func(*member) { t.Error("called") })
	if err != nil || m == nil || p.Waiting() != 0 {
		t.Errorf("%v, %v, %d waiting; want an endpoint at once", m, err, p.Waiting())
	}
}

// TestWaiterProbes: the one well endpoint is full for long; who waits tries the
// one that was set aside when its time is over, with nobody else coming.
func TestWaiterProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{Queue: 10, MaxConns: 1}, endpoints(2))
		failOn(t, p, "e1")
		busy := mustPick(t, p, netip.Addr{}, nil)
		l := &line{t: t, pool: p}
		l.join("a", nil)
		l.join("b", nil)
		synctest.Wait()
		l.want()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		l.want("a e1")
		l.last.failed(errRefused)
		l.last.release()
		synctest.Wait()
		l.want("a e1")
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		l.want("a e1", "b e1")
		busy.failed(errRefused)
	})
}

// TestWaiterUsesWhatIsAsideWhenAllAre: the last well endpoint fails while
// somebody waits for another's place.
func TestWaiterUsesWhatIsAsideWhenAllAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, PoolOptions{Queue: 10, MaxConns: 2}, endpoints(2))
		failOn(t, p, "e1")
		a, b := mustPick(t, p, netip.Addr{}, nil), mustPick(t, p, netip.Addr{}, nil)
		l := &line{t: t, pool: p}
		l.join("a", nil)
		a.failed(errRefused)
		l.want("a e1")
		a.release()
		b.release()
	})
}
