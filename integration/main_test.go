// Package integration tests the peapod binary from outside, as root, on the
// kernel that is there. Each file is about one part of it; this one builds the
// binary and checks at the end that nothing is left.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// binary is the peapod that is tested. Its state is in state below the run's
// testkit.Scratch() directory, the pods' data in data: it learns that from its environment.
var binary string

func TestMain(m *testing.M) { os.Exit(testkit.Reap(func() int { return testMain(m) })) }

func testMain(m *testing.M) int {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return testkit.Run(m, registered)
}

func prepare() (err error) {
	for name, dir := range map[string]string{"PEAPOD_ROOT": "state", "PEAPOD_DATA": "data", "TMPDIR": "."} {
		os.Setenv(name, filepath.Join(testkit.Scratch(), dir))
	}
	os.Setenv("CGO_ENABLED", "0")
	binary, err = testkit.Build("peapod")
	return err
}

// registered are the containers and pods that are still known.
func registered() (list []string) {
	for _, pattern := range []string{"state/containers/*", "state/pods/*", "state/services/*", "state/addresses/*", "state/hubs/*", "data/pods/*"} {
		found, _ := filepath.Glob(filepath.Join(testkit.Scratch(), pattern))
		list = append(list, found...)
	}
	return list
}

var names int

// newName returns a name for a container or pod. What has it is removed at the
// test's end.
func newName(t testing.TB) string {
	t.Helper()
	names++
	name := testkit.Mark + strconv.Itoa(names)
	t.Cleanup(func() {
		for _, args := range [][]string{{"delete", "--force", name}, {"pod", "rm", "--force", name}} {
			if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
				t.Errorf("peapod %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	})
	return name
}
