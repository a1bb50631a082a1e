package proxy

import (
	"fmt"
	"testing"
	"time"
)

func tableOf(t testing.TB, list []Endpoint) (*Pool, []string) {
	p := newPool(t, PoolOptions{Policy: SourceHash}, list)
	v := p.view.Load()
	names := make([]string, len(v.table))
	for i, m := range v.table {
		names[i] = v.members[m].key.id
	}
	return p, names
}

// TestMaglevBalance and TestMaglevDisruption measure what the sizes of the table
// are chosen by; go test -v shows the figures.
func TestMaglevBalance(t *testing.T) {
	for _, n := range []int{2, 3, 7, 20, 21, 100, 500} {
		_, table := tableOf(t, endpoints(n))
		count := map[string]int{}
		for _, id := range table {
			count[id]++
		}
		most := 0
		for _, c := range count {
			most = max(most, c)
		}
		worst := float64(most)*float64(n)/float64(len(table)) - 1
		t.Logf("%3d endpoints, %5d slots: the largest share is %.2f %% above the mean", n, len(table), 100*worst)
		if len(count) != n || worst > 0.03 {
			t.Errorf("%d of %d endpoints are in the table, the largest %.2f %% above the mean", len(count), n, 100*worst)
		}
	}
}

func TestMaglevDisruption(t *testing.T) {
	for _, n := range []int{3, 10, 20, 50, 200} {
		_, before := tableOf(t, endpoints(n))
		_, after := tableOf(t, endpoints(n)[:n-1])
		if len(before) != len(after) {
			t.Fatalf("%d and %d slots", len(before), len(after))
		}
		gone, moved := fmt.Sprintf("e%d", n-1), 0
		for i := range before {
			if before[i] != gone && before[i] != after[i] {
				moved++
			}
		}
		share := float64(moved) / float64(len(before))
		t.Logf("%3d endpoints, %5d slots: one leaves, %.2f %% of the clients move without need", n, len(before), 100*share)
		if share > 0.05 {
			t.Errorf("%d endpoints: %.2f %% move, want at most 5", n, 100*share)
		}
	}
}

func TestMaglevDependsOnTheSetAlone(t *testing.T) {
	list := endpoints(5)
	_, one := tableOf(t, list)
	list[0], list[4] = list[4], list[0]
	p, _ := tableOf(t, endpoints(30))
	p.Set(list)
	v := p.view.Load()
	if len(v.table) != len(one) {
		t.Fatalf("%d slots, want %d", len(v.table), len(one))
	}
	for i, m := range v.table {
		if v.members[m].key.id != one[i] {
			t.Fatalf("slot %d: %s, want %s", i, v.members[m].key.id, one[i])
		}
	}
	// A pod that came back with another address has its clients again.
	for i := range list {
		list[i].Addr = endpoints(100)[90+i].Addr
	}
	_, moved := tableOf(t, list)
	for i := range moved {
		if moved[i] != one[i] {
			t.Fatalf("slot %d: %s, want %s", i, moved[i], one[i])
		}
	}
}

// TestSourceHashIsStable: clients keep their endpoint; while it is set aside
// they are spread over the others, whose clients stay.
func TestSourceHashIsStable(t *testing.T) {
	const clients = 3000
	p := newPool(t, PoolOptions{Policy: SourceHash, EjectTime: time.Hour, MaxEjectTime: time.Hour}, endpoints(4))
	choices := func() []*member {
		var list []*member
		for i := range clients {
			m := mustPick(t, p, clientAddr(i), nil)
			m.release()
			list = append(list, m)
		}
		return list
	}
	before, again := choices(), choices()
	before[0].failed(errRefused)
	aside, refuge := choices(), map[string]int{}
	for i := range before {
		if before[i] != again[i] {
			t.Fatalf("client %d went to %s, then to %s", i, before[i].key.id, again[i].key.id)
		}
		if before[i] != before[0] && aside[i] != before[i] {
			t.Fatalf("client %d of %s, which is well, moved", i, before[i].key.id)
		}
		if before[i] == before[0] {
			refuge[aside[i].key.id]++
		}
	}
	if len(refuge) != 3 || refuge[before[0].key.id] != 0 {
		t.Fatalf("clients went to %v", refuge)
	}
	for id, n := range refuge {
		if n < clients/4/3/2 {
			t.Errorf("%s took %d of some %d, want about a third", id, n, clients/4)
		}
	}
}

func TestSourceHashUnmapsClients(t *testing.T) {
	p := newPool(t, PoolOptions{Policy: SourceHash}, endpoints(50))
	for i := range 50 {
		four := clientAddr(i)
		a, b := mustPick(t, p, four, nil), mustPick(t, p, mapped(four), nil)
		if a != b {
			t.Fatalf("%v goes to %s as IPv4 and to %s as IPv4 in IPv6", four, a.key.id, b.key.id)
		}
	}
}

func BenchmarkMaglev(b *testing.B) {
	for _, n := range []int{3, 20, 100} {
		p, _ := tableOf(b, endpoints(n))
		members := p.view.Load().members
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				maglev(members)
			}
		})
	}
}
