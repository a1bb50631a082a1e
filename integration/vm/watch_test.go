package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// emulator makes a shell script take qemu's part.
func emulator(t *testing.T, script string) *start {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &start{program: path}
}

// play has a shell script take qemu's part: what it writes is the console, and
// descriptor 3 the port.
func play(t *testing.T, script string, suites ...string) (list []result, table string) {
	t.Helper()
	l := &lab{options: &options{timeout: 2 * time.Second}, cache: &cache{dir: t.TempDir()}}
	var plan []suite
	for _, s := range suites {
		plan = append(plan, suite{pkg: s})
	}
	ctx, cancel := context.WithTimeout(t.Context(), l.timeout)
	defer cancel()
	w := newWatch(l, machine{name: "m"}, plan)
	list = w.results(w.watch(ctx, emulator(t, script)))
	var b bytes.Buffer
	printTable(&b, list)
	return list, b.String()
}

// events of a suite with one test of each kind.
const oneSuite = `e() { echo "$1" >&3; }
e '{"Kind":"begin","Text":"a"}'
e '{"Kind":"output","Text":"=== RUN   TestA"}'
e '{"Kind":"output","Text":"--- PASS: TestA (0.00s)"}'
e '{"Kind":"output","Text":"    --- PASS: TestA/part (0.00s)"}'
e '{"Kind":"output","Text":"    a_test.go:7: no such controller"}'
e '{"Kind":"output","Text":"--- SKIP: TestB (0.00s)"}'
`

func TestMachine(t *testing.T) {
	list, table := play(t, oneSuite+`e '{"Kind":"end"}'; e '{"Kind":"done"}'`, "a")
	if len(list) != 1 || !list[0].ok() || list[0].passed != 1 || list[0].skipped != 1 {
		t.Errorf("%+v", list)
	}
	for _, want := range []string{"skipped: m: a: TestB: no such controller", "ok"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

// Each way to fail is told from the others, and what was not run is listed.
func TestMachineFails(t *testing.T) {
	for _, test := range []struct{ name, script, suite, want string }{
		{"test", oneSuite + `e '{"Kind":"output","Text":"--- FAIL: TestC (0.00s)"}'; e '{"Kind":"end","Status":1}'; e '{"Kind":"done"}'`, "a", "1 tests of a failed"},
		{"status", oneSuite + `e '{"Kind":"end","Status":2}'; e '{"Kind":"done"}'`, "a", "a ended with status 2"},
		{"nothing", `echo '{"Kind":"begin","Text":"a"}' >&3; echo '{"Kind":"end"}' >&3; echo '{"Kind":"done"}' >&3`, "a", "no test that matches"},
		{"panic", oneSuite + `echo '[ 1.0] Kernel panic - not syncing: lost'`, "a", "when the machine failed"},
		{"panic", `echo '[ 1.0] Kernel panic - not syncing: lost'`, "b", "not run"},
		{"end", oneSuite, "b", "not run"},
		{"time", "exec sleep 60", "a", "not run"},
	} {
		list, table := play(t, test.script, "a", "b")
		found := false
		for _, r := range list {
			if r.suite == test.suite {
				found = !r.ok() && strings.Contains(r.verdict(), test.want)
			}
		}
		if !found {
			t.Errorf("%s: no %q in\n%s", test.name, test.want, table)
		}
	}
}

func TestWhy(t *testing.T) {
	for _, test := range []struct{ script, want string }{
		{`echo hello; echo '[ 1.0] Kernel panic - not syncing: lost'; exit 1`, "Kernel panic - not syncing: lost"},
		{`echo hello; exec sleep 60`, "not done after 100ms"},
		{`echo hello; exit 3`, "exit status 3"},
		{`echo hello`, "ended by itself"},
	} {
		l := &lab{options: &options{timeout: 100 * time.Millisecond}, cache: &cache{dir: t.TempDir()}}
		ctx := t.Context()
		if strings.Contains(test.want, "100ms") {
			limited, cancel := context.WithTimeout(ctx, l.timeout)
			defer cancel()
			ctx = limited
		}
		err := newWatch(l, machine{name: "m"}, nil).watch(ctx, emulator(t, test.script))
		if err == nil || !strings.Contains(err.Error(), test.want) || test.want != "not done after 100ms" && !strings.Contains(err.Error(), "hello") {
			t.Errorf("%s: %v", test.script, err)
		}
	}
}
