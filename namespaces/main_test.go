package namespaces

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain gives an unprivileged run the privileges that the tests need by
// starting it again as root of a user namespace, and fails a run that leaves
// descriptors, threads in foreign namespaces, or many threads.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		os.Exit(runInUserNamespace())
	}
	before := descriptors()
	code := m.Run()
	if err := leaks(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
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

// leaks waits a little: threads end after the goroutines that they served, and
// the garbage collector closes the pipes that package net keeps for splice(2).
func leaks(before map[string]string) error {
	var err error
	for range 200 {
		runtime.GC()
		if err = leaksNow(before); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func leaksNow(before map[string]string) error {
	for fd, target := range descriptors() {
		if before[fd] != target && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			return fmt.Errorf("descriptor %s (%s) leaked", fd, target)
		}
	}
	if n, err := foreignThreads(); err != nil {
		return err
	} else if n > 60 {
		return fmt.Errorf("%d threads are left", n)
	}
	return nil
}

func descriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = target
		}
	}
	return open
}

// foreignThreads returns the number of threads, and an error if one of them is
// not in the namespaces of the main thread.
func foreignThreads() (int, error) {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return 0, err
	}
	for _, kind := range []Kind{Network, IPC, UTS, Cgroup} {
		home, err := os.Readlink("/proc/self/ns/" + kind.ProcName())
		if err != nil {
			return 0, err
		}
		for _, task := range tasks {
			got, err := os.Readlink(task + "/ns/" + kind.ProcName())
			if err == nil && got != home {
				return 0, fmt.Errorf("%s is in %s, not in %s", task, got, home)
			}
		}
	}
	return len(tasks), nil
}
