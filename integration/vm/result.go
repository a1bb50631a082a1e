package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what came of a suite.
type result struct {
	machine, suite          string
	begun                   time.Time
	took                    time.Duration
	passed, failed, skipped int
	status                  int
	skips                   []string // tests, with their reasons
	said                    []string // since the last test that passed, and of those that failed
	trouble                 string
	test                    []string // lines of the test that runs
}

// line takes a line of what `go test -v` prints.
func (r *result) line(s string) {
	name, verdict := testEnd(s)
	switch verdict {
	case "PASS":
		r.passed++
		r.test = nil
	case "SKIP":
		r.skipped++
		r.skips = append(r.skips, name+": "+reason(r.test))
		r.test = nil
	case "FAIL":
		r.failed++
		r.said = append(r.said, append(r.test, s)...)
		r.test = nil
	default:
		r.test = append(r.test, s)
	}
}

// testEnd reads a line such as "--- PASS: TestX (0.00s)", of tests, not of the
// parts of tests.
func testEnd(line string) (name, verdict string) {
	rest, ok := strings.CutPrefix(line, "--- ")
	if !ok {
		return "", ""
	}
	verdict, rest, ok = strings.Cut(rest, ": ")
	if name, _, _ = strings.Cut(rest, " "); !ok {
		return "", ""
	}
	return name, verdict
}

var placed = regexp.MustCompile(`^\s+\S+\.go:[0-9]+: `)

// reason is the last thing that a skipped test said.
func reason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if at := placed.FindString(lines[i]); at != "" {
			return lines[i][len(at):]
		}
	}
	return "no reason given"
}

// finish closes the result with the status of the suite's process. What was
// said since its last test tells why that is not 0.
func (r *result) finish(status int) {
	r.status, r.took = status, time.Since(r.begun)
	if status != 0 {
		r.said = append(r.said, r.test...)
	}
	r.test = nil
}

// ok says whether all is well. No test at all is not.
func (r *result) ok() bool {
	return r.status == 0 && r.failed == 0 && r.trouble == "" && r.passed+r.skipped > 0
}

// verdict of the suite, in a few words.
func (r *result) verdict() string {
	switch {
	case r.trouble != "":
		return strings.TrimSpace(r.suite + " " + r.trouble)
	case r.failed > 0:
		return fmt.Sprintf("%d tests of %s failed", r.failed, r.suite)
	case r.status != 0:
		return fmt.Sprintf("%s ended with status %d", r.suite, r.status)
	case !r.ok():
		return r.suite + " has no test that matches"
	}
	return "ok"
}

// complaint is what the suite said of its failures.
func (r *result) complaint() string {
	return strings.Join(append(append(r.said, r.test...), "FAIL: "+r.verdict()), "\n")
}

// printTable prints what came of the suites, and what was skipped and why.
func printTable(to io.Writer, all []result) {
	for _, r := range all {
		for _, s := range r.skips {
			fmt.Fprintf(to, "skipped: %s: %s: %s\n", r.machine, r.suite, s)
		}
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "machine\tsuite\tpassed\tfailed\tskipped\tseconds\t")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f\t  %s\n", r.machine, r.suite, r.passed, r.failed, r.skipped, r.took.Seconds(), r.verdict())
	}
	w.Flush()
}
