package main

import (
	"bytes"
	"errors"
	"go/format"
	"io/fs"
	"os"
	"regexp"
	"testing"
)

// mustEqual compares what is generated with the file, but for what ignore
// matches.
func mustEqual(t *testing.T, file string, generated *bytes.Buffer, ignore *regexp.Regexp) {
	t.Helper()
	want, err := format.Source(generated.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ignore.ReplaceAll(have, nil), ignore.ReplaceAll(want, nil)) {
		t.Errorf("%s is out of date: go generate ./internal/seccomp", file)
	}
}

func TestProfileIsUpToDate(t *testing.T) {
	p, err := defaultProfile("moby-default.json")
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "../default_table.go", p, regexp.MustCompile(`^$`))
}

// x32 is left out: what is there depends on the header's age.
func TestNumbersAreUpToDate(t *testing.T) {
	calls, err := systemCalls()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs linux-libc-dev: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "../table.go", calls, regexp.MustCompile(`(10737[0-9]{5}|-1)(, -?[0-9]+, -?[0-9]+\}\},)`))
}
