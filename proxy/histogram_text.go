package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var errHistogram = errors.New("not a histogram")

// MarshalText writes what was counted, so that another process can merge it: the
// sum in nanoseconds, and BUCKET:COUNT for each bucket that has something.
func (h *Histogram) MarshalText() ([]byte, error) {
	b := strconv.AppendInt(nil, h.sum.Load(), 10)
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			b = append(b, ' ')
			b = strconv.AppendInt(b, int64(i), 10)
			b = append(b, ':')
			b = strconv.AppendUint(b, n, 10)
		}
	}
	return b, nil
}

// UnmarshalText replaces what was counted by what MarshalText wrote. After an
// error the histogram is as it was.
func (h *Histogram) UnmarshalText(text []byte) error {
	fields := bytes.Fields(text)
	if len(fields) == 0 {
		return errHistogram
	}
	sum, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil || sum < 0 {
		return fmt.Errorf("%w: sum %q", errHistogram, fields[0])
	}
	var counts [histogramSize]uint64
	for _, f := range fields[1:] {
		bucket, count, _ := bytes.Cut(f, []byte{':'})
		i, err := strconv.ParseUint(string(bucket), 10, 16)
		if err != nil || i >= histogramSize || counts[i] != 0 {
			return fmt.Errorf("%w: bucket %q", errHistogram, f)
		}
		if counts[i], err = strconv.ParseUint(string(count), 10, 64); err != nil {
			return fmt.Errorf("%w: count %q", errHistogram, f)
		}
	}
	for i := range counts {
		h.counts[i].Store(counts[i])
	}
	h.sum.Store(sum)
	return nil
}
