package proxy

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkPick(b *testing.B) {
	for _, bench := range []struct {
		name string
		o    PoolOptions
	}{
		{"random", PoolOptions{}},
		{"round-robin", PoolOptions{Policy: RoundRobin}},
		{"source-hash", PoolOptions{Policy: SourceHash}},
		{"affinity", PoolOptions{Affinity: time.Hour}},
		{"max-conns", PoolOptions{MaxConns: 1000}},
	} {
		for _, n := range []int{1, 3, 100} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, n), func(b *testing.B) {
				p := NewPool(bench.o)
				p.Set(endpoints(n))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						m, err := p.pick(clientAddr(i%100), nil)
						if err != nil {
							b.Fatal(err)
						}
						m.release()
					}
				})
			})
		}
	}
}
