package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/peapod/peapod/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files anew")

// helpOf is what a command line prints.
func helpOf(t testing.TB, args ...string) string {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", "")
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPeapod()
	p.stdout = f
	if err := p.main(t.Context(), args); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{"help": {"help"}, "pod": {"pod"}, "run": {"run", "--help"}} {
		golden := filepath.Join("testdata", name+".txt")
		got := helpOf(t, args...)
		if *update {
			os.MkdirAll("testdata", 0o755)
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(want, []byte(got)) {
			t.Errorf("%q (go test ./cmd/peapod -update, if it is to be so): %v\n%s", args, err, got)
		}
	}
	if got := helpOf(t); got != helpOf(t, "help") {
		t.Errorf("without arguments: %s", got)
	}
}

// Every command has an example, and no line is wider than a terminal.
func TestHelpOfEach(t *testing.T) {
	var each func(path []string, commands []*cli.Command)
	each = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			args := append(path[:len(path):len(path)], c.Name)
			text := helpOf(t, append(args, "--help")...)
			if !strings.Contains(text, "\nExample: ") || c.Usage == "" {
				t.Errorf("peapod %s has no example:\n%s", strings.Join(args, " "), text)
			}
			if other := helpOf(t, append([]string{"help"}, args...)...); other != text {
				t.Errorf("peapod help %s is not the same:\n%s", strings.Join(args, " "), other)
			}
			for line := range strings.Lines(text) {
				if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("peapod %s: long line %q", strings.Join(args, " "), line)
				}
			}
			each(args, c.Commands)
		}
	}
	each(nil, newPeapod().program().Commands)
}
