package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"TERM": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "sigterm": unix.SIGTERM, "kill": unix.SIGKILL,
		"9": unix.SIGKILL, "0": 0, "64": 64, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX": 64, "rtmax-2": 62,
	} {
		if got, err := parseSignal(s); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "NOPE", "65", "-1", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN3", "RTMINx", "RTMIN+"} {
		if got, err := parseSignal(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func FuzzParseSignal(f *testing.F) {
	f.Add("SIGRTMIN+1")
	f.Fuzz(func(t *testing.T, s string) {
		if sig, err := parseSignal(s); err == nil && (sig < 0 || sig > 64) {
			t.Errorf("%q: %d", s, sig)
		}
	})
}
