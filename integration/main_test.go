// Package integration tests the peapod binary from outside, as root, on the
// kernel that is there. Each file is about one part of it; this one builds the
// binary and checks at the end that nothing is left.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// binary is the peapod that is tested. Its state is in state below the run's
// testkit.Scratch() directory, the pods' data in data: it learns that from its environment.
var binary string

// worker is set in the environment of the process that runs the tests.
const worker = "PEAPOD_INTEGRATION_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(worker) == "" {
		os.Exit(supervise())
	}
	os.Exit(testMain(m))
}

// supervise runs this program again and takes the part of init for it: what
// loses its parent becomes a child of this process, which reaps it, and finds
// at the end what runs on. (A pid namespace does not end before the last of its
// processes is reaped.)
func supervise() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "integration: containers need root: run the tests as root, for instance: sudo make test")
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	// The signal comes when the thread that started it ends.
	runtime.LockOSThread()
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), worker+"=1"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	code := 1
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && err != unix.EINTR {
			break
		}
		if pid == p.Pid {
			code = status.ExitStatus()
			break
		}
	}
	if left := testkit.Poll(func() string { return strings.Join(orphans(), "\n  ") }); left != "" {
		fmt.Fprintf(os.Stderr, "FAIL: left running by the tests:\n  %s\n", left)
		return 1
	}
	return code
}

// orphans are the processes that have come to this one and run.
func orphans() []string {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return testkit.Children()
		}
	}
}

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
