package dns

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// cluster returns n services of three endpoints, all of whose addresses say which
// generation they are of.
func cluster(n int, generation byte) []*Service {
	list := make([]*Service, n)
	for i := range list {
		s := &Service{Namespace: "default", Name: fmt.Sprint("s", i), Ports: []Port{{"p", "TCP", 80}}}
		for e := range 3 {
			s.Endpoints = append(s.Endpoints, Endpoint{
				Hostname:  fmt.Sprint("e", e),
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{generation, byte(i >> 8), byte(i), byte(e)})},
			})
		}
		list[i] = s
	}
	return list
}

// TestReplaceUnderLoad replaces the zone while clients ask: every query is
// answered, wholly from one generation, and never from one before that which was
// there when it was sent.
func TestReplaceUnderLoad(t *testing.T) {
	const services, generations, clients = 1000, 100, 4
	s := &Server{}
	s.SetZone(NewTable(cluster(services, 1), nil))
	addr := start(t, s)
	var current, asked atomic.Int64
	current.Store(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c := dial(t, "udp", addr)
			c.SetDeadline(time.Now().Add(time.Minute))
			buf := make([]byte, 2000)
			for i := n; ctx.Err() == nil; i++ {
				name := fmt.Sprint("s", i%services, ".default.svc.cluster.local.")
				before := current.Load()
				c.Write(ask{name: name, typ: typeA}.pack(t, uint16(i)))
				size, err := c.Read(buf)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if err := whole(buf[:size], uint16(i), i%services, before, current.Load()+1); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for g := byte(2); g <= generations; g++ {
		s.SetZone(NewTable(cluster(services, g), nil))
		current.Store(int64(g))
		seen := asked.Load()
		if err := poll(func() error {
			if asked.Load() < seen+10 && !t.Failed() {
				return fmt.Errorf("generation %d is not asked", g)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	t.Logf("%d queries over %d zones", asked.Load(), generations)
}

// whole checks one answer of TestReplaceUnderLoad.
func whole(answer []byte, id uint16, service int, oldest, newest int64) error {
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil {
		return err
	}
	if m.ID != id || m.RCode != noError || len(m.Answers) != 3 {
		return fmt.Errorf("%v", m.GoString())
	}
	endpoints := map[byte]bool{}
	first := m.Answers[0].Body.(*dnsmessage.AResource).A
	for _, r := range m.Answers {
		a := r.Body.(*dnsmessage.AResource).A
		endpoints[a[3]] = true
		if a[0] != first[0] || int(a[1])<<8|int(a[2]) != service || int64(a[0]) < oldest || int64(a[0]) > newest {
			return fmt.Errorf("%v, generations %d to %d", a, oldest, newest)
		}
	}
	if len(endpoints) != 3 {
		return fmt.Errorf("endpoints %v", endpoints)
	}
	return nil
}

// BenchmarkZone is one query of the cluster's names, without sockets.
func BenchmarkZone(b *testing.B) {
	for _, bench := range []ask{
		{name: "s500.default.svc.cluster.local.", typ: typeA},
		{name: "_p._tcp.s500.default.svc.cluster.local.", typ: typeSRV},
		{name: "s500.default.svc.cluster.local.default.svc.cluster.local.", typ: typeA},
	} {
		b.Run(fmt.Sprint(bench.name, bench.typ), func(b *testing.B) {
			s := &Server{}
			s.once.Do(s.init)
			s.SetZone(NewTable(cluster(1000, 1), nil))
			f := newFront(b.Context(), s, nil, nil)
			msg, out := bench.pack(b, 1), make([]byte, 0, maxUDP)
			c := new(discard)
			b.ReportAllocs()
			for b.Loop() {
				f.handle(msg, c, out)
			}
			if c.n == 0 {
				b.Error("no answer")
			}
		})
	}
}

type discard struct{ n int }

func (*discard) tcp() bool            { return false }
func (*discard) addr() netip.AddrPort { return netip.AddrPort{} }
func (*discard) hold() func()         { return func() {} }
func (d *discard) send(msg []byte)    { d.n += len(msg) }

// BenchmarkUDP is one query over loopback, there and back.
func BenchmarkUDP(b *testing.B) {
	s := &Server{}
	s.SetZone(NewTable(cluster(1000, 1), nil))
	addr := start(b, s)
	c := dial(b, "udp", addr)
	c.SetDeadline(time.Now().Add(time.Minute))
	msg, buf := ask{name: "s500.default.svc.cluster.local.", typ: typeA}.pack(b, 1), make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(msg)
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewTable is a new zone of 1,000 services of three endpoints.
func BenchmarkNewTable(b *testing.B) {
	list := cluster(1000, 1)
	b.ReportAllocs()
	for b.Loop() {
		NewTable(list, nil)
	}
}
