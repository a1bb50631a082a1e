package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Module is the import path that the packages' begin with.
const Module = "github.com/peapod/peapod"

var scratch string

// Scratch is the directory of this run, which every user may enter. It is made
// when it is asked for, and removed by Run: fuzzing starts many processes that
// never ask, and kills them.
var Scratch = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "peapod-"+Mark)
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		panic(err)
	}
	scratch = dir
	return dir
})

func removeScratch() { os.RemoveAll(scratch) }

// Program is one that tests run beside what they test.
type Program struct {
	Name, Package string
	Flags         []string // of go build
}

// Programs are all of them.
var Programs = []Program{
	{"peapod", Module + "/cmd/peapod", []string{"-trimpath", "-ldflags", "-s -w -X main.version=0.0.0-test"}},
	{"probe", Module + "/internal/testkit/probe", nil},
	{"lack", Module + "/internal/testkit/lack", nil},
	{"deny", Module + "/internal/testkit/deny", nil},
}

// programsVariable names a directory with Programs that are built already, for
// machines without Go.
const programsVariable = "PEAPOD_TEST_PROGRAMS"

// Build builds one of Programs as a static executable in Scratch.
func Build(name string) (path string, err error) {
	path = filepath.Join(Scratch(), name)
	if built := os.Getenv(programsVariable); built != "" {
		return path, copyProgram(filepath.Join(built, name), path)
	}
	i := slices.IndexFunc(Programs, func(p Program) bool { return p.Name == name })
	if i < 0 {
		return "", fmt.Errorf("build %s: it is not among testkit.Programs", name)
	}
	args := append([]string{"build", "-buildvcs=false", "-o", path}, Programs[i].Flags...)
	build := exec.Command("go", append(args, Programs[i].Package)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", Programs[i].Package, err, out)
	}
	return path, nil
}

// copyProgram makes a copy in Scratch, from where tests make hard links.
func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("%s: %w", programsVariable, err)
	}
	return os.WriteFile(to, data, 0o755)
}

var probe = sync.OnceValues(func() (string, error) { return Build("probe") })

// Probe is the program that containers of tests run, see its package.
func Probe(t testing.TB) string {
	t.Helper()
	path, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
