package main

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/vm/wire"
)

// shell gives the console to a shell and ends with it.
func shell() error {
	fmt.Println("lab: the tests are in /lab/tests; exit ends the machine")
	name := "/bin/sh"
	tty, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer tty.Close()
	process, err := os.StartProcess(name, []string{"-" + name}, &os.ProcAttr{
		Dir: "/lab/src", Files: []*os.File{tty, tty, tty},
		Env: append(environment(wire.Suite{}), "TERM=vt102", "PS1=lab# "),
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	wait(process.Pid)
	return nil
}

// loopbackUp makes 127.0.0.1 work.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
