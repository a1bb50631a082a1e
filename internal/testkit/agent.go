package testkit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Agent is one that decides about system calls (seccomp_unotify(2)): execve and
// write go on, others get ENOTNAM.
type Agent struct {
	// Path is that of its socket.
	Path string
	t    testing.TB
	fd   int
}

// NewAgent listens until the test ends.
func NewAgent(t testing.TB) *Agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{t: t, Path: filepath.Join(dir, "sock")}
	if a.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(a.fd); os.RemoveAll(dir) })
	if err := unix.Bind(a.fd, &unix.SockaddrUnix{Name: a.Path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(a.fd, 8); err != nil {
		t.Fatal(err)
	}
	return a
}

// take accepts a listener and what came with it.
func (a *Agent) take() (fd int, state specs.ContainerProcessState) {
	if !readable(a.fd) {
		a.t.Error("no seccomp listener has come")
		return -1, state
	}
	conn, _, err := unix.Accept(a.fd)
	if err != nil {
		a.t.Error(err)
		return -1, state
	}
	defer unix.Close(conn)
	text, oob := make([]byte, 8192), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(conn, text, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		a.t.Error(err)
		return -1, state
	}
	if err := json.Unmarshal(text[:n], &state); err != nil {
		a.t.Errorf("%v in %s", err, text[:n])
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		a.t.Errorf("control messages %v, %v", messages, err)
		return -1, state
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		a.t.Errorf("descriptors %v, %v", fds, err)
		return -1, state
	}
	return fds[0], state
}

// readable waits until there is something to read.
func readable(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 20000)
	for err == unix.EINTR {
		n, err = unix.Poll(poll, 20000)
	}
	return n == 1 && poll[0].Revents&unix.POLLIN != 0
}

// Structures and requests of seccomp_unotify(2).
type (
	notification struct {
		id   uint64
		pid  uint32
		_    uint32
		nr   int32
		arch uint32
		ip   uint64
		args [6]uint64
	}
	response struct {
		id    uint64
		value int64
		err   int32
		flags uint32
	}
)

const (
	notifyRecv = 0xc0502100
	notifySend = 0xc0182101
	goOn       = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// answer answers calls until the listener's processes are gone, and returns them.
func answer(fd int) (calls []int32) {
	defer unix.Close(fd)
	for {
		if !readable(fd) {
			return calls
		}
		var n notification
		if _, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifyRecv, uintptr(unsafe.Pointer(&n))); err != 0 {
			continue
		}
		calls = append(calls, n.nr)
		r := response{id: n.id, err: -int32(unix.ENOTNAM)}
		if n.nr == unix.SYS_EXECVE || n.nr == unix.SYS_WRITE {
			r = response{id: n.id, flags: goOn}
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifySend, uintptr(unsafe.Pointer(&r)))
	}
}

// Served is a listener that has come and gone.
type Served struct {
	State specs.ContainerProcessState
	Calls []int32
}

// Serve serves the next listener that comes.
func (a *Agent) Serve() <-chan Served {
	done := make(chan Served, 1)
	go func() {
		fd, state := a.take()
		var calls []int32
		if fd >= 0 {
			calls = answer(fd)
		}
		done <- Served{state, calls}
	}()
	return done
}
