package main

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notify sends its arguments to NOTIFY_SOCKET as the lines of one message
// (sd_notify(3)); "BARRIER=1" goes with a pipe whose other end it waits for to be
// closed.
func notify(args []string) (string, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(socket)
	manager := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	message := []byte(strings.Join(args, "\n"))
	if args[0] != "BARRIER=1" {
		return done(unix.Sendto(socket, message, 0, manager))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	err = unix.Sendmsg(socket, message, unix.UnixRights(int(w.Fd())), manager, 0)
	w.Close()
	if err != nil {
		return "", err
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.Read(make([]byte, 1)); os.IsTimeout(err) {
		return "", unix.ETIMEDOUT
	}
	return "ok", nil
}
