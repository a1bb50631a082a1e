package results

import (
	"fmt"
	"slices"
	"strconv"
)

// Quantile returns the value below which the share q (0 to 1) of runs lies,
// the nearest one that was measured. It is 0 without runs.
func Quantile(runs []float64, q float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(runs))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// Median is the quantile 0.5.
func Median(runs []float64) float64 { return Quantile(runs, 0.5) }

// Unit is what the values of a table are.
type Unit string

// The units of tables. Times are in nanoseconds.
const (
	Time  Unit = ""
	Short Unit = "µs" // times that are mostly below a millisecond
	Rate  Unit = "/s"
	Gbits Unit = "Gbit/s"
	Bytes Unit = "bytes"
)

// Format writes a value with two or three significant digits.
func (u Unit) Format(v float64) string {
	switch u {
	case Time:
		return formatTime(v)
	case Short:
		return digits(v/1e3) + " µs"
	case Rate:
		return thousands(v) + " /s"
	case Bytes:
		if v < 1000 {
			return fmt.Sprintf("%.0f bytes", v)
		}
		return digits(v/1024) + " KiB"
	}
	return digits(v) + " " + string(u)
}

func formatTime(ns float64) string {
	if ns < 1e5 {
		return digits(ns/1e3) + " µs"
	}
	return digits(ns/1e6) + " ms"
}

// digits writes two digits behind the point below 10, one below 100.
func digits(v float64) string {
	decimals := 2
	switch {
	case v >= 100:
		decimals = 0
	case v >= 10:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// thousands writes a whole number in groups of three digits.
func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
