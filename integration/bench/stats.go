package main

import (
	"fmt"
	"slices"
	"time"
)

// quantile returns the value below which the share q (0 to 1) of runs lies,
// the nearest one that was measured. It is 0 without runs.
func quantile(runs []time.Duration, q float64) time.Duration {
	if len(runs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(runs))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func median(runs []time.Duration) time.Duration { return quantile(runs, 0.5) }

// ratio is that of r's median to the base's in t, 0 when either is missing.
func (t *table) ratio(r *row) float64 {
	for i := range t.Rows {
		if base := median(t.Rows[i].Runs); t.Rows[i].Name == t.Base && base > 0 {
			return float64(median(r.Runs)) / float64(base)
		}
	}
	return 0
}

// milliseconds writes d with two or three significant digits.
func milliseconds(d time.Duration) string {
	switch ms := float64(d) / 1e6; {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.2f ms", ms)
	}
}

// verdict says whether a bar is met.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**not met**"
}

// figure is a single number with what it should be at most.
type figure struct {
	Name  string
	Value float64
	Bar   float64 // 0: none
	Unit  string
	Text  string // how it was measured
}
