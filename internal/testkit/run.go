package testkit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Run runs the tests of a package and returns the exit status. A run fails that
// leaves descriptors, goroutines, children, threads in foreign namespaces or
// cgroups, or anything on the host that has Mark in its name; or that also
// complains about something.
func Run(m *testing.M, also ...func() []string) int {
	before := Held()
	defer removeScratch()
	code := m.Run()
	if fuzzing() {
		return code // the fuzzer keeps goroutines and pipes of its own
	}
	left := before.Leaks()
	for _, f := range also {
		var list []string
		Poll(func() string {
			list = f()
			return strings.Join(list, "\n")
		})
		left = append(left, list...)
	}
	if len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: left over by the tests:\n  %s\n", strings.Join(left, "\n  "))
		return max(code, 1)
	}
	return code
}

func fuzzing() bool {
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			return true
		}
	}
	return false
}
