package namespaces

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestMain gives an unprivileged run the privileges that the tests need by
// starting it again as root of a user namespace, and fails a run that leaves
// descriptors, threads in foreign namespaces, or many threads.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		os.Exit(runInUserNamespace())
	}
	os.Exit(testkit.Run(m, manyThreads))
}

func runInUserNamespace() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET, // a network of its own: sysctls below /proc/sys/net are then ours
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: neither root nor user namespaces for the unprivileged:", err)
		return 1
	}
	return 0
}

// manyThreads complains about threads that have not ended.
func manyThreads() []string {
	tasks, _ := os.ReadDir("/proc/self/task")
	if n := len(tasks); n > 60 {
		return []string{fmt.Sprintf("%d threads", n)}
	}
	return nil
}
