package proxy

import (
	"testing"
	"time"
)

func TestHistogramText(t *testing.T) {
	var h, got Histogram
	got.Add(time.Hour) // goes
	for d := time.Duration(1); d < 200*time.Second; d *= 3 {
		h.Add(d)
	}
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := got.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if got.Count() != h.Count() || got.Sum() != h.Sum() || got.Quantile(0.5) != h.Quantile(0.5) || got.Quantile(1) != h.Quantile(1) {
		t.Errorf("%s is read as %d, %v", text, got.Count(), got.Sum())
	}
	for _, bad := range []string{"", " ", "x", "-1", "1 0", "1 0:", "1 :1", "1 226:1", "1 -1:1", "1 3:1 3:1", "1 3:-1", "1 3:99999999999999999999"} {
		if err := got.UnmarshalText([]byte(bad)); err == nil || got.Count() != h.Count() {
			t.Errorf("%q: %v, and %d are counted", bad, err, got.Count())
		}
	}
}

func FuzzHistogramText(f *testing.F) {
	f.Add([]byte("12 0:1 225:18446744073709551615"))
	f.Add([]byte("0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var h, again Histogram
		if h.UnmarshalText(text) != nil {
			return
		}
		out, _ := h.MarshalText()
		if err := again.UnmarshalText(out); err != nil || again.Count() != h.Count() || again.Sum() != h.Sum() {
			t.Fatalf("%q becomes %q: %v", text, out, err)
		}
	})
}
