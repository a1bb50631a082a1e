package proxy

import (
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"
)

// A histogram's buckets: the powers of two of nanoseconds from 2^9 (0.5 us) to
// 2^37 (137 s), each cut into eight of the same width; one below, one above.
const (
	histogramLow   = 9
	histogramHigh  = 37
	histogramParts = 3 // bits
	histogramSize  = (histogramHigh-histogramLow)<<histogramParts + 2
)

// Histogram counts durations. What it says of those between 0.5 us and 137 s is
// off by less than 6 per cent; shorter ones are as 0.5 us, longer ones as 137 s.
// It takes 1.8 KB. The zero value is empty and ready; methods may be called from
// several goroutines.
type Histogram struct {
	counts [histogramSize]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Add counts one duration. It does not allocate.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(max(d, 0)))
}

// bucketOf takes the highest bit of d, and the three bits after it.
func bucketOf(d time.Duration) int {
	switch {
	case d < 1<<histogramLow:
		return 0
	case d >= 1<<histogramHigh:
		return histogramSize - 1
	}
	exp := bits.Len64(uint64(d)) - 1
	part := int(d>>(exp-histogramParts)) & (1<<histogramParts - 1)
	return (exp-histogramLow)<<histogramParts + part + 1
}

// bucketStart returns the shortest duration of a bucket.
func bucketStart(i int) time.Duration {
	if i == 0 {
		return 0
	}
	exp, part := (i-1)>>histogramParts+histogramLow, (i-1)&(1<<histogramParts-1)
	return time.Duration(1<<histogramParts+part) << (exp - histogramParts)
}

// bucketValue returns the duration that is nearest to all of a bucket's, as a
// ratio: the harmonic mean of its ends.
func bucketValue(i int) time.Duration {
	switch i {
	case 0:
		return 1 << histogramLow
	case histogramSize - 1:
		return 1 << histogramHigh
	}
	a, b := float64(bucketStart(i)), float64(bucketStart(i+1))
	return time.Duration(2 * a * b / (a + b))
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(from *Histogram) {
	for i := range from.counts {
		if n := from.counts[i].Load(); n > 0 {
			h.counts[i].Add(n)
		}
	}
	h.sum.Add(from.sum.Load())
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 {
	n := uint64(0)
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Sum returns all durations together, exactly.
func (h *Histogram) Sum() time.Duration { return time.Duration(h.sum.Load()) }

// Quantile returns the duration that the share q, from 0 to 1, of all does not
// exceed: 0.5 is the median, 1 the longest. It returns 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	var counts [histogramSize]uint64 // others may add meanwhile
	total := uint64(0)
	for i := range counts {
		counts[i] = h.counts[i].Load()
		total += counts[i]
	}
	rank := max(uint64(min(max(q, 0), 1)*float64(total)+0.5), 1)
	seen := uint64(0)
	for i, n := range counts {
		if seen += n; n > 0 && seen >= rank {
			return bucketValue(i)
		}
	}
	return 0
}

// WritePrometheus writes the histogram in Prometheus' text format: the samples
// name_bucket, with bounds from 1 us to 69 s that are powers of four, and
// name_sum and name_count, in seconds. labels are as they stand between braces,
// such as `service="web",endpoint="web-0"`, or "".
func (h *Histogram) WritePrometheus(w io.Writer, name, labels string) error {
	bucket, all := labels, ""
	if labels != "" {
		bucket, all = labels+",", "{"+labels+"}"
	}
	buf := make([]byte, 0, 4096)
	seen, i := uint64(0), 0
	for exp := histogramLow + 1; exp < histogramHigh; exp += 2 {
		bound := time.Duration(1) << exp
		for ; bucketStart(i) < bound; i++ {
			seen += h.counts[i].Load()
		}
		le := strconv.FormatFloat(bound.Seconds(), 'g', -1, 64)
		buf = fmt.Appendf(buf, "%s_bucket{%sle=\"%s\"} %d\n", name, bucket, le, seen)
	}
	for ; i < histogramSize; i++ {
		seen += h.counts[i].Load()
	}
	buf = fmt.Appendf(buf, "%s_bucket{%sle=\"+Inf\"} %d\n", name, bucket, seen)
	buf = fmt.Appendf(buf, "%s_sum%s %s\n", name, all, strconv.FormatFloat(h.Sum().Seconds(), 'g', -1, 64))
	buf = fmt.Appendf(buf, "%s_count%s %d\n", name, all, seen)
	_, err := w.Write(buf)
	return err
}
