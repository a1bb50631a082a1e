// Command generate writes the tables of package seccomp: the numbers of system
// calls, from golang.org/x/sys and the kernel's header of x32
// (linux-libc-dev), and the default profile, from moby-default.json.
//
// That file is default.json of github.com/moby/profiles/seccomp v0.2.3
// (Copyright The Moby Authors, Apache-2.0), unchanged.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

func main() {
	if err := generate("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate writes the tables into dir.
func generate(dir string) error {
	calls, err := systemCalls()
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "table.go"), calls); err != nil {
		return err
	}
	profile, err := defaultProfile(filepath.Join(dir, "generate", "moby-default.json"))
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, "default_table.go"), profile)
}

func write(path string, source *bytes.Buffer) error {
	text, err := format.Source(source.Bytes())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o644)
}
