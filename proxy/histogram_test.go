package proxy

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHistogramBuckets: each bucket's start is in it, and the nanosecond before
// is in the one before.
func TestHistogramBuckets(t *testing.T) {
	for i := range histogramSize {
		start := bucketStart(i)
		if got := bucketOf(start); got != i {
			t.Errorf("bucket %d starts at %v, which is in %d", i, start, got)
		}
		if i > 0 && bucketOf(start-1) != i-1 {
			t.Errorf("%v is in bucket %d, want %d", start-1, bucketOf(start-1), i-1)
		}
	}
	for _, d := range []time.Duration{math.MinInt64, -1, 0, math.MaxInt64} {
		var h Histogram
		h.Add(d)
		if h.Count() != 1 || d < 0 && h.Sum() != 0 {
			t.Errorf("%d: count %d, sum %v", d, h.Count(), h.Sum())
		}
	}
}

func TestHistogramError(t *testing.T) {
	worst := 0.0
	for d := time.Duration(1 << histogramLow); d < 1<<histogramHigh; d += max(1, d/1000) {
		var h Histogram
		h.Add(d)
		for _, q := range []float64{0, 0.5, 1} {
			worst = max(worst, math.Abs(float64(h.Quantile(q)-d))/float64(d))
		}
	}
	t.Logf("the largest error is %.2f %%", 100*worst)
	if worst >= 0.06 {
		t.Errorf("error of %.2f %%, want less than 6", 100*worst)
	}
}

// TestHistogramQuantiles compares with the sorted values.
func TestHistogramQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var parts [2]Histogram
	var all []time.Duration
	for i := range 20000 {
		d := time.Duration(math.Exp(r.NormFloat64()*2) * float64(time.Millisecond))
		d = min(max(d, time.Microsecond), 100*time.Second)
		parts[i%2].Add(d)
		all = append(all, d)
	}
	parts[0].Merge(&parts[1])
	slices.Sort(all)
	sum := time.Duration(0)
	for _, d := range all {
		sum += d
	}
	if h := &parts[0]; h.Count() != 20000 || h.Sum() != sum {
		t.Errorf("count %d, sum %v; want 20000, %v", h.Count(), h.Sum(), sum)
	}
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(q*20000)-1]
		got := parts[0].Quantile(q)
		if diff := math.Abs(float64(got-want)) / float64(want); diff > 0.07 {
			t.Errorf("quantile %v: %v, want %v within 7 %%", q, got, want)
		}
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestHistogramPrometheus(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{100, 3 * time.Microsecond, 3 * time.Millisecond, 4 * time.Millisecond, 300 * time.Second} {
		h.Add(d)
	}
	var b strings.Builder
	if err := h.WritePrometheus(&b, "connect_seconds", `service="web"`); err != nil {
		t.Fatal(err)
	}
	const want = `connect_seconds_bucket{service="web",le="1.024e-06"} 1
connect_seconds_bucket{service="web",le="4.096e-06"} 2
connect_seconds_bucket{service="web",le="1.6384e-05"} 2
connect_seconds_bucket{service="web",le="6.5536e-05"} 2
connect_seconds_bucket{service="web",le="0.000262144"} 2
connect_seconds_bucket{service="web",le="0.001048576"} 2
connect_seconds_bucket{service="web",le="0.004194304"} 4
connect_seconds_bucket{service="web",le="0.016777216"} 4
connect_seconds_bucket{service="web",le="0.067108864"} 4
connect_seconds_bucket{service="web",le="0.268435456"} 4
connect_seconds_bucket{service="web",le="1.073741824"} 4
connect_seconds_bucket{service="web",le="4.294967296"} 4
connect_seconds_bucket{service="web",le="17.179869184"} 4
connect_seconds_bucket{service="web",le="68.719476736"} 4
connect_seconds_bucket{service="web",le="+Inf"} 5
connect_seconds_sum{service="web"} 300.0070031
connect_seconds_count{service="web"} 5
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	b.Reset()
	h.WritePrometheus(&b, "x", "")
	if s := b.String(); !strings.HasPrefix(s, "x_bucket{le=") || !strings.Contains(s, "\nx_sum 300") || !strings.HasSuffix(s, "\nx_count 5\n") {
		t.Errorf("without labels:\n%s", s)
	}
}

func TestHistogramAddAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Add(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Add(time.Millisecond)
	}
}
