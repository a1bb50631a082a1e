package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// Build builds a program as a static executable in Scratch.
func Build(name, pkg string, flags ...string) (path string, err error) {
	path = filepath.Join(Scratch(), name)
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	build := exec.Command("go", append(args, pkg)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

var probe = sync.OnceValues(func() (string, error) {
	return Build("probe", Module+"/internal/testkit/probe")
})

// Probe is the program that containers of tests run, see its package.
func Probe(t testing.TB) string {
	t.Helper()
	path, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
