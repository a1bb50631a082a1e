package proxy

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

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
