package testkit

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// worker is set in the environment of the process that runs the tests.
const worker = "PEAPOD_TEST_WORKER"

// Reap runs the tests of a suite that starts detached processes, as root, in a
// second process, and takes the part of init for that: what loses its parent
// becomes a child of this process, which reaps it, and finds at the end what runs
// on. (A pid namespace does not end before the last of its processes is reaped.)
// It returns the exit status.
func Reap(tests func() int) int {
	if os.Getenv(worker) != "" {
		return tests()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "FAIL: containers need root: run the tests as root, for instance: sudo -E make test")
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: become the parent of orphans:", err)
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
		fmt.Fprintln(os.Stderr, "FAIL: start the tests:", err)
		return 1
	}
	code := reapUntil(p.Pid)
	if left := Poll(func() string { return strings.Join(orphans(), "\n  ") }); left != "" {
		fmt.Fprintf(os.Stderr, "FAIL: left running by the tests:\n  %s\n", left)
		return 1
	}
	return code
}

// reapUntil reaps until one process has ended, and returns its exit status.
func reapUntil(last int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err != nil && err != unix.EINTR:
			return 1
		case pid == last:
			return status.ExitStatus()
		}
	}
}

// orphans are the processes that have come to this one and run.
func orphans() []string {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return Children()
		}
	}
}
