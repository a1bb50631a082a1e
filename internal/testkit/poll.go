package testkit

import (
	"context"
	"os"
	"testing"
	"time"
)

// Patience bounds what should come at once, on a machine that is busy.
const Patience = 20 * time.Second

// patience is shorter where leaks are made to be found.
var patience = Patience

// Poll calls f until it has nothing to complain about, and returns the last
// complaint when Patience is over.
func Poll(f func() (complaint string)) string {
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if complaint := f(); complaint == "" || time.Now().After(end) {
			return complaint
		}
	}
}

// Until fails the test in which Poll ends with a complaint.
func Until(t testing.TB, f func() (complaint string)) {
	t.Helper()
	if complaint := Poll(f); complaint != "" {
		t.Fatal(complaint)
	}
}

// Eventually fails the test in which f does not become true.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	Until(t, func() string {
		if !f() {
			return "it never came that " + what
		}
		return ""
	})
}

// Soon is a context that ends long after anything in a test should.
func Soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// NeedRoot skips a test that makes namespaces, mounts or cgroups.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes namespaces, mounts or cgroups")
	}
}
