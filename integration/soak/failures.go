package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// failures are the reasons for which connections failed, as the proxy logs them.
type failures struct {
	mu sync.Mutex
	n  map[string]int
}

var (
	failed   = regexp.MustCompile(`debug: connection failed \(.*, error (.*)\)$`)
	anywhere = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+:\d+`)
)

// add reports whether a line of the log tells of one.
func (f *failures) add(line string) bool {
	m := failed.FindStringSubmatch(line)
	if m == nil {
		return strings.Contains(line, ": debug: ")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]int{}
	}
	f.n[anywhere.ReplaceAllString(m[1], "ADDRESS")]++
	return true
}

func (f *failures) print(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, reason := range slices.Sorted(maps.Keys(f.n)) {
		fmt.Fprintf(w, "  %d failed: %s\n", f.n[reason], reason)
	}
}
