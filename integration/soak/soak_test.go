package main

import (
	"os"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// TestMain fails a run that leaves processes or descriptors.
func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// TestSoak is a short one, through the built binary.
func TestSoak(t *testing.T) {
	peapod, err := testkit.Build("peapod")
	if err != nil {
		t.Fatal(err)
	}
	r, err := soak(t.Context(), options{connections: 4000, places: 32, hold: 500, seed: 7, peapod: peapod})
	if err != nil {
		t.Error(err)
	}
	var text strings.Builder
	r.print(&text)
	t.Log(text.String())
	for k := range kinds {
		if r.of[k].Load() == 0 {
			t.Errorf("no connection was %s", k)
		}
	}
	if r.total() != 4500 || r.held != 500 {
		t.Errorf("%d connections, %d at once", r.total(), r.held)
	}
}
