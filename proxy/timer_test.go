package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTimers compares the heap with a sorted list.
func TestTimers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h timers
	all := make([]timer, 200)
	now := int64(0)
	for range 20_000 {
		x := &all[rng.IntN(len(all))]
		switch rng.IntN(4) {
		case 0:
			h.cancel(x)
			if x.pos != 0 {
				t.Fatal("cancelled and still set")
			}
		case 1:
			now += int64(rng.IntN(20))
			for _, want := range dueOf(all, now) {
				got := h.due(now)
				if got == nil || got.when != want {
					t.Fatalf("got %+v, want one of %d", got, want)
				}
			}
			if got := h.due(now); got != nil {
				t.Fatalf("%+v is due at %d", got, now)
			}
		default:
			h.set(x, now+int64(rng.IntN(100)))
		}
	}
}

// dueOf returns when those that are set and not after now ring, in order.
func dueOf(all []timer, now int64) (list []int64) {
	for i := range all {
		if x := &all[i]; x.pos != 0 && x.when <= now {
			list = append(list, x.when)
		}
	}
	slices.Sort(list)
	return list
}

func BenchmarkTimers(b *testing.B) {
	var h timers
	all := make([]timer, 10_000)
	for i := range all {
		h.set(&all[i], int64(i))
	}
	for i := 0; b.Loop(); i++ {
		x := &all[i%len(all)]
		h.cancel(x)
		h.set(x, int64(i+len(all)))
	}
}
