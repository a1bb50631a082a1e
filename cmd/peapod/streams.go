package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

// streams are what a process reads from and writes to.
type streams struct {
	stdin, stdout, stderr *os.File
	extra                 []*os.File // from descriptor 3 on
	env                   []string   // that says what extra is
	console               *os.File   // a socket for the terminal's master
	terminal              *terminal  // ours, in the foreground
	pidfd                 *os.File   // a socket for the process's pidfd
}

// openStreams looks at what the flags and the process ask for. A detached
// process's terminal goes to --console-socket; one in the foreground is joined
// with ours.
func (p *peapod) openStreams(c *cli.Context, process *specs.Process, detached bool) (*streams, error) {
	s := &streams{}
	wanted, socket := process != nil && process.Terminal, c.String("console-socket")
	switch {
	case wanted && detached && socket == "":
		return nil, errors.New("cannot allocate tty if the container is detached without setting console socket: " +
			"give --console-socket, or make process.terminal false")
	case socket != "" && !(wanted && detached):
		return nil, errors.New("cannot use console socket if the container is not detached or has no tty: leave --console-socket out")
	}
	var err error
	if s.extra, s.env, err = inherited(c.Int("preserve-fds")); err != nil {
		return nil, err
	}
	switch {
	case !wanted:
		// The files themselves: nothing is copied.
		s.stdin, s.stdout, s.stderr = p.stdin, p.stdout, p.stderr
	case detached:
		s.console, err = dial("--console-socket", socket)
	default:
		s.terminal, err = openTerminal(p.stdin, p.stdout, p.stderr)
		if err == nil {
			s.console = s.terminal.theirs
		}
	}
	if path := c.String("pidfd-socket"); path != "" && err == nil {
		s.pidfd, err = dial("--pidfd-socket", path)
	}
	return s, err
}

// dial connects to the socket of an option.
func dial(option, path string) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: something has to listen there", option, err)
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return nil, err
	}
	// The process that sends over it waits.
	return f, unix.SetNonblock(int(f.Fd()), false)
}

// inherited are the descriptors to pass on: those of systemd's socket
// activation (sd_listen_fds(3)), and n more.
func inherited(n int) (files []*os.File, env []string, err error) {
	if n < 0 {
		return nil, nil, fmt.Errorf("--preserve-fds %d: give a number of descriptors", n)
	}
	listening := 0
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		if listening, err = strconv.Atoi(os.Getenv("LISTEN_FDS")); err != nil || listening < 0 {
			return nil, nil, fmt.Errorf("LISTEN_FDS=%s: is no number of descriptors", os.Getenv("LISTEN_FDS"))
		}
	}
	for i := range listening + n {
		fd := 3 + i
		// What this process opened itself is close-on-exec; what it was
		// given cannot be.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, nil, fmt.Errorf("--preserve-fds %d: descriptor %d is not open", n, fd)
		}
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd)))
	}
	if listening > 0 {
		env = []string{"LISTEN_FDS=" + strconv.Itoa(listening), "LISTEN_PID=1"}
		if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
			env = append(env, "LISTEN_FDNAMES="+names)
		}
	}
	return files, env, nil
}

// create hands the streams to a container.
func (s *streams) create(o *runtime.CreateOptions) {
	o.Stdin, o.Stdout, o.Stderr = s.stdin, s.stdout, s.stderr
	o.ExtraFiles, o.Console, o.ConsoleAnswer, o.PidfdSocket = s.extra, s.console, s.terminal != nil, s.pidfd
	if len(s.env) > 0 && o.Spec.Process != nil {
		o.Spec.Process.Env = append(o.Spec.Process.Env, s.env...)
	}
	s.begin()
}

// exec hands the streams to a process.
func (s *streams) exec(o *runtime.ExecOptions) {
	o.Stdin, o.Stdout, o.Stderr = s.stdin, s.stdout, s.stderr
	o.ExtraFiles, o.Console, o.ConsoleAnswer, o.PidfdSocket = s.extra, s.console, s.terminal != nil, s.pidfd
	o.Process.Env = append(o.Process.Env, s.env...)
	s.begin()
}

func (s *streams) begin() {
	if s.terminal != nil {
		go s.terminal.receive()
	}
}

// attach waits until the terminal is joined with the process's.
func (s *streams) attach() error {
	if s.terminal == nil {
		return nil
	}
	return s.terminal.attach()
}

// detach writes what the process has left to write, when it has ended.
func (s *streams) detach() {
	if s.terminal != nil {
		s.terminal.drain()
	}
}

// close restores the terminal, whatever has happened.
func (s *streams) close() {
	if s.pidfd != nil {
		s.pidfd.Close()
	}
	switch {
	case s.terminal != nil:
		s.terminal.close()
	case s.console != nil:
		s.console.Close()
	}
}
