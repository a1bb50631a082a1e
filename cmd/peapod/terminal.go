package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// terminal joins the user's terminal with that of a container's process.
type terminal struct {
	stdin, stdout *os.File
	host          *os.File      // the user's: which of the standard files it is, or /dev/tty
	ours, theirs  *os.File      // a socket pair that the master comes over
	ready         chan error    // what came of receive
	copied        chan struct{} // closed when the output's copying ends

	mu     sync.Mutex
	master *os.File
	saved  *unix.Termios // host's, to be restored
	closed bool
}

var errNoTerminal = errors.New("the process wants a terminal (process.terminal, exec --tty), but there is none here: " +
	"run it from a terminal, detach it with --console-socket, or make process.terminal false")

// openTerminal finds the user's terminal. stdin may be nil: nothing is typed
// into the process's then, and the keys keep their meaning. The error is errNoTerminal where there is none.
func openTerminal(stdin, stdout, stderr *os.File) (*terminal, error) {
	t := &terminal{stdin: stdin, stdout: stdout, ready: make(chan error, 1), copied: make(chan struct{})}
	if t.host = findTerminal(stderr, stdout, stdin); t.host == nil {
		return nil, errNoTerminal
	}
	// A reader who leaves must not end this process before it has restored
	// the terminal. Caught, not ignored: that would be inherited.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	t.ours, t.theirs = os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")
	return t, nil
}

// findTerminal returns the first of files that is one, else /dev/tty: with all
// of them redirected there may still be a controlling terminal.
func findTerminal(files ...*os.File) *os.File {
	for _, f := range files {
		if f != nil && isTerminal(f) {
			return f
		}
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), "/dev/tty")
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(descriptor(f), unix.TCGETS)
	return err == nil
}

// descriptor is f's number. File.Fd would make the file blocking.
func descriptor(f *os.File) (fd int) {
	fd = -1
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// receive waits for the master, sets both terminals up, lets the process go on,
// and begins to copy. The process has written nothing before.
func (t *terminal) receive() { t.ready <- t.join() }

func (t *terminal) join() error {
	fd, err := receiveFile(descriptor(t.ours))
	if err != nil {
		return err
	}
	if err := leaveNewlines(fd); err != nil {
		unix.Close(fd)
		return err
	}
	unix.SetNonblock(fd, true)
	t.mu.Lock()
	t.master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.mu.Unlock()
	t.resize()
	if err := t.raw(); err != nil {
		return err
	}
	if t.stdin != nil {
		go io.Copy(t.master, t.stdin)
	}
	go func() {
		defer close(t.copied)
		if _, err := io.Copy(t.stdout, t.master); !errors.Is(err, os.ErrDeadlineExceeded) {
			// Nobody reads any more: the process learns it by SIGHUP.
			t.master.Close()
		}
	}()
	_, err = t.ours.Write([]byte{0})
	return err
}

// receiveFile receives a descriptor over a unix socket.
func receiveFile(socket int) (int, error) {
	content, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(socket, content, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive the process's terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:m])
	if n == 0 || err != nil || len(messages) == 0 {
		return -1, errors.New("the process ended before it sent its terminal")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.New("the process sent no terminal")
	}
	return fds[0], nil
}

// leaveNewlines turns ONLCR off: the user's terminal adds the carriage
// returns, and a file that the output goes to gets none.
func leaveNewlines(master int) error {
	state, err := unix.IoctlGetTermios(master, unix.TCGETS)
	if err == nil {
		state.Oflag &^= unix.ONLCR
		err = unix.IoctlSetTermios(master, unix.TCSETS, state)
	}
	if err != nil {
		return fmt.Errorf("set the process's terminal up: %w", err)
	}
	return nil
}

// raw makes the user's terminal pass on everything that is typed; what the
// keys mean is up to the process's terminal. Output is still processed.
func (t *terminal) raw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.stdin == nil {
		return nil
	}
	state, err := unix.IoctlGetTermios(descriptor(t.host), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("%s: %w", t.host.Name(), err)
	}
	saved := *state
	state.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	state.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	state.Cflag = state.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	state.Cc[unix.VMIN], state.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(descriptor(t.host), unix.TCSETS, state); err != nil {
		return fmt.Errorf("make %s raw: %w", t.host.Name(), err)
	}
	t.saved = &saved
	return nil
}

// resize gives the process's terminal the size of the user's. Where that has
// none (a serial line), nothing changes.
func (t *terminal) resize() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.master == nil {
		return
	}
	size, err := unix.IoctlGetWinsize(descriptor(t.host), unix.TIOCGWINSZ)
	if err == nil && size.Row > 0 && size.Col > 0 {
		unix.IoctlSetWinsize(descriptor(t.master), unix.TIOCSWINSZ, size)
	}
}

// attach waits until the terminals are joined.
func (t *terminal) attach() error { return <-t.ready }

// drain copies what the process wrote before it ended. A process that it left
// behind may hold the terminal open for ever; what that writes later is lost,
// as it is for a terminal that was closed.
func (t *terminal) drain() {
	master := descriptor(t.master)
	select {
	case <-t.copied:
		return
	default:
	}
	t.master.SetReadDeadline(time.Unix(1, 0)) // ends the copying
	<-t.copied
	for buffer := make([]byte, 4096); ; {
		n, err := unix.Read(master, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		if _, err := t.stdout.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// close restores the user's terminal.
func (t *terminal) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.saved != nil {
		unix.IoctlSetTermios(descriptor(t.host), unix.TCSETS, t.saved)
	}
	t.ours.Close()
	t.theirs.Close()
}
