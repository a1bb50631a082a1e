package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/vm/wire"
)

// run runs a suite to its end and returns its status, as a shell has it.
func run(s wire.Suite, p *port) (int, error) {
	args := s.Args
	if s.User != "" {
		args = asUser(s)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 1, err
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 1, err
	}
	defer null.Close()
	process, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Dir: s.Dir, Env: environment(s), Files: []*os.File{null, w, w}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return 127, fmt.Errorf("start %s: %w", s.Name, err)
	}
	read := make(chan error, 1)
	go func() { read <- p.lines(r) }()
	status := wait(process.Pid)
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	return status, <-read
}

func environment(s wire.Suite) []string {
	list := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C",
		"PEAPOD_TEST_PROGRAMS=" + wire.Programs,
	}
	if disk := findDisk(); disk != "" {
		list = append(list, "PEAPOD_TEST_DISK="+disk)
	}
	return append(list, s.Env...)
}

// findDisk gives the disk's device.
func findDisk() string {
	found, _ := filepath.Glob("/sys/block/*/serial")
	for _, file := range found {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == wire.Disk {
			return "/dev/" + filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// wait reaps all that ends, as the first process has to, until pid has.
func wait(pid int) int {
	for {
		var status unix.WaitStatus
		switch ended, err := unix.Wait4(-1, &status, 0, nil); {
		case err == unix.EINTR || err == nil && ended != pid:
		case err != nil:
			return 1
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// asUser is the command line that runs a suite as a unit of the user's own
// systemd, which has a part of the cgroups delegated to it.
func asUser(s wire.Suite) []string {
	args := []string{"/usr/bin/setpriv", "--reuid=" + s.User, "--regid=" + s.User, "--init-groups",
		"/usr/bin/env", "XDG_RUNTIME_DIR=/run/user/1000", "HOME=/home/" + s.User,
		"/usr/bin/systemd-run", "--user", "--wait", "--pipe", "--quiet", "--collect",
		"--property=Delegate=yes", "--working-directory=" + s.Dir}
	for _, e := range append(environment(s), "HOME=/home/"+s.User, "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus", "XDG_RUNTIME_DIR=/run/user/1000") {
		args = append(args, "--setenv="+e)
	}
	return append(args, s.Args...)
}
