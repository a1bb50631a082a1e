package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func id([]string) (string, error) {
	groups, err := os.Getgroups()
	return fmt.Sprintf("%d:%d %v", os.Geteuid(), os.Getegid(), groups), err
}

// die ends by a signal, which the first process of a pid namespace can only
// send from a child or not at all.
func die(args []string) (string, error) {
	signal.Reset()
	if err := unix.Kill(os.Getpid(), unix.Signal(number(args[0]))); err != nil {
		return "", err
	}
	return "", unix.Pause()
}

// wait waits for a signal and tells its name; SIGTERM ends the probe. It says
// "ready" before.
func wait([]string) (string, error) {
	c := make(chan os.Signal, 10)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGHUP, unix.SIGWINCH)
	fmt.Println("ready")
	s := <-c
	if s == unix.SIGTERM {
		os.Exit(0)
	}
	return unix.SignalName(s.(unix.Signal)), nil
}

// hold waits for SIGTERM.
func hold([]string) (string, error) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM)
	fmt.Println("ready")
	<-c
	return "terminated", nil
}

func stubborn([]string) (string, error) {
	signal.Ignore(unix.SIGTERM)
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}

func sleep(args []string) (string, error) {
	time.Sleep(time.Duration(number(args[0])) * time.Millisecond)
	return silent(nil)
}

func spin(args []string) (string, error) {
	for end := time.Now().Add(time.Duration(number(args[0])) * time.Millisecond); time.Now().Before(end); {
	}
	return "ok", nil
}

func raise(args []string) (string, error) {
	limit := unix.Rlimit{Cur: uint64(number(args[1])), Max: uint64(number(args[1]))}
	return "ok", unix.Setrlimit(number(args[0]), &limit)
}

// child starts a process that does not end by itself and holds the output open.
func child([]string) (string, error) {
	c := exec.Command("/proc/self/exe", "stubborn")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return silent(c.Start())
}

// eat takes args[0] MiB of memory.
func eat(args []string) (string, error) {
	var all [][]byte
	for range number(args[0]) {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
	}
	return fmt.Sprint("ate ", len(all)), nil
}

// systemCall makes the call with a number, and numbers as arguments.
func systemCall(a []string) (string, error) {
	var n [7]uintptr
	for i, s := range a {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return "", err
		}
		n[i] = uintptr(v)
	}
	_, _, errno := unix.RawSyscall6(n[0], n[1], n[2], n[3], n[4], n[5], n[6])
	if errno != 0 {
		return "", errno
	}
	return done(nil)
}

// tick counts in a file, or on the standard output where there is none, until the
// end; a file is always whole.
func tick(args []string) (string, error) {
	for n := 1; ; n++ {
		text := strconv.Itoa(n) + "\n"
		if len(args) == 0 {
			fmt.Print(text)
		} else if err := os.WriteFile(args[0]+".new", []byte(text), 0o644); err != nil {
			return "", err
		} else if err := os.Rename(args[0]+".new", args[0]); err != nil {
			return "", err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// bomb forks args[0] processes that do nothing, as far as it may, and does nothing then:
// there may be no room for the threads that Go would want.
func bomb(args []string) (string, error) {
	for range number(args[0]) {
		if pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0); pid == 0 || errno != 0 {
			break
		}
	}
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}
