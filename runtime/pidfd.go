package runtime

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// sendPidfd sends a pidfd of a process, which is our child and not reaped, over
// a connected unix socket, with a content as engines expect it.
func sendPidfd(socket *os.File, pid int) error {
	if socket == nil {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open a pidfd of process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.Sendmsg(int(socket.Fd()), []byte("pidfd"), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send the pidfd of process %d over the pidfd socket: %w", pid, err)
	}
	return nil
}
