package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// newTerminal makes a pseudo-terminal of 33 lines and 99 columns.
func newTerminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	setSize(t, fd, 33, 99)
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return os.NewFile(uintptr(fd), "/dev/ptmx"), slave
}

func setSize(t testing.TB, fd int, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func settings(t testing.TB, f *os.File) unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

// onTerminal starts a command whose controlling terminal is slave.
func onTerminal(t testing.TB, args ...string) (p *running, master, slave *os.File) {
	t.Helper()
	master, slave = newTerminal(t)
	cmd := command(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return watchCommand(t, cmd, master), master, slave
}

func withTerminal(s *specs.Spec) { s.Process.Terminal = true }

func TestTerminalRun(t *testing.T) {
	before := unix.Termios{}
	id := newName(t)
	p, master, slave := onTerminal(t, "run", "-b", newBundle(t, withTerminal, "echo", "begin", ";", "copy", ";", "exit", "4"), id)
	before = settings(t, slave)
	if text := p.sees("begin"); strings.Contains(text, "\r\r") {
		t.Errorf("carriage returns were added: %q", text)
	}
	if raw := settings(t, slave); raw.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 || raw.Oflag&unix.OPOST == 0 {
		t.Errorf("the terminal is not raw: %+v", raw)
	}
	// Echoed once, by the container's terminal.
	master.Write([]byte("typed\r"))
	p.sees("typed\r\ntyped\r\n")
	master.Write([]byte{4}) // end of file
	if code := p.status(); code != 4 {
		t.Errorf("status %d", code)
	}
	// begin was started first, so before is what the terminal was.
	if after := settings(t, slave); after != before && after.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal is not restored: %+v", after)
	}
}

// All that was written comes, however much, and as it was written where no
// terminal is at the end.
func TestTerminalOutput(t *testing.T) {
	id := newName(t)
	text := strings.Repeat("a line of the file\n", 20000)
	bundle := newBundle(t, withTerminal, "cat", "/etc/text")
	root := decode[specs.Spec](t, read(t, filepath.Join(bundle, "config.json"))).Root.Path
	if err := os.WriteFile(filepath.Join(root, "etc/text"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, slave := newTerminal(t)
	cmd := command(t, "run", "-b", bundle, id)
	cmd.Stdin = slave
	if r := finish(t, cmd); r.code != 0 || r.stdout != text {
		t.Errorf("status %d, %d bytes, want %d; %q…: %s", r.code, len(r.stdout), len(text), r.stdout[:min(60, len(r.stdout))], r.stderr)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTerminalExec(t *testing.T) {
	id := detached(t, nil)
	p, _, slave := onTerminal(t, "exec", "-t", id, "probe", "report", ";", "wait", ";", "report", ";", "exit", "6")
	first, _, _ := strings.Cut(p.sees("ready"), "\r\n")
	if r := decode[report.Process](t, first); !r.TTY || r.Size != [2]uint16{33, 99} {
		t.Errorf("terminal %v of %v", r.TTY, r.Size)
	}
	setSize(t, int(slave.Fd()), 44, 55)
	p.sees("SIGWINCH")
	if code := p.status(); code != 6 {
		t.Errorf("status %d", code)
	}
	if text := p.sees("44,55"); !strings.Contains(text, `"Size":[44,55]`) {
		t.Errorf("after the resize: %q", text)
	}
	// The interrupt key is for the process in the container.
	var master *os.File
	p, master, slave = onTerminal(t, "exec", "-t", id, "probe", "wait", ";", "exit", "7")
	p.sees("ready")
	master.Write([]byte{3})
	p.sees("SIGINT")
	if code := p.status(); code != 7 {
		t.Errorf("status %d", code)
	}
	if after := settings(t, slave); after.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal is not restored: %+v", after)
	}
	// Nor does a failure leave it raw.
	p, _, slave = onTerminal(t, "exec", "-t", id, "nope")
	if code := p.status(); code != 255 {
		t.Errorf("status %d", code)
	}
	if after := settings(t, slave); after.Lflag&unix.ECHO == 0 || after.Lflag&unix.ICANON == 0 {
		t.Errorf("the terminal is not restored: %+v", after)
	}
}

// A reader who leaves ends the process, as the hang-up of a terminal does, and
// the user's terminal is restored.
func TestTerminalReaderLeaves(t *testing.T) {
	id := detached(t, nil)
	_, slave := newTerminal(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "exec", "-t", id, "probe", "wait", ";", "copy")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(testkit.Patience))
	for b, seen := make([]byte, 64), ""; !strings.Contains(seen, "ready"); {
		n, err := r.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(b[:n])
	}
	r.Close()
	cmd.Process.Signal(unix.SIGUSR1) // makes it write
	err = cmd.Wait()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		t.Errorf("peapod was ended by %v", status.Signal())
	}
	if after := settings(t, slave); after.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal is not restored: %+v", after)
	}
}

// console listens at a console socket, as engines do.
func console(t testing.TB) (path string, receive func() *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "console")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, func() *os.File {
		t.Helper()
		l.SetDeadline(time.Now().Add(testkit.Patience))
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(testkit.Patience))
		content, control := make([]byte, 64), make([]byte, 64)
		_, n, _, _, err := conn.ReadMsgUnix(content, control)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) != 1 {
			t.Fatalf("%v, %d messages", err, len(messages))
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Fatalf("%v, descriptors %v", err, fds)
		}
		unix.SetNonblock(fds[0], true)
		master := os.NewFile(uintptr(fds[0]), "console")
		t.Cleanup(func() { master.Close() })
		return master
	}
}

// says waits until text comes from a terminal.
func says(t testing.TB, master *os.File, text string) {
	t.Helper()
	master.SetReadDeadline(time.Now().Add(testkit.Patience))
	for b, seen := make([]byte, 4096), ""; !strings.Contains(seen, text); {
		n, err := master.Read(b)
		seen += string(b[:n])
		if err != nil {
			t.Fatalf("no %q but %q: %v", text, seen, err)
		}
	}
}

func TestConsoleSocket(t *testing.T) {
	path, receive := console(t)
	id := newName(t)
	peapod(t, "create", "--console-socket", path, "-b", newBundle(t, withTerminal, "echo", "created", ";", "wait"), id).ok()
	master := receive()
	peapod(t, "start", id).ok()
	says(t, master, "created\r\n")

	other := newName(t)
	peapod(t, "run", "-d", "--console-socket", path, "-b", newBundle(t, withTerminal, "echo", "run", ";", "copy"), other).ok()
	master = receive()
	says(t, master, "run\r\n")
	master.Write([]byte("typed\r"))
	says(t, master, "typed\r\ntyped")

	peapod(t, "exec", "-d", "-t", "--console-socket", path, id, "probe", "echo", "exec", ";", "wait").ok()
	says(t, receive(), "exec\r\n")
}

func TestConsoleSocketRules(t *testing.T) {
	id := newName(t)
	with, without := newBundle(t, withTerminal, "wait"), newBundle(t, nil, "wait")
	peapod(t, "create", "-b", with, id).wants(1, "console socket")
	peapod(t, "run", "-d", "-b", with, id).wants(1, "console socket")
	peapod(t, "create", "--console-socket", "/x", "-b", without, id).wants(1, "console socket")
	peapod(t, "run", "--console-socket", "/x", "-b", with, id).wants(1, "console socket")
	peapod(t, "create", "--console-socket", filepath.Join(t.TempDir(), "none"), "-b", with, id).wants(1, "--console-socket", "listen")
	// In the foreground without a terminal.
	cmd := command(t, "run", "-b", with, id)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	finish(t, cmd).wants(1, "terminal", "--console-socket")
	peapod(t, "state", id).wants(1, "does not exist")
}

// The user's terminal becomes raw, and gives its size, also where the input does
// not come from it.
func TestTerminalInputElsewhere(t *testing.T) {
	id := detached(t, nil)
	for _, args := range [][]string{
		{"run", "-b", newBundle(t, withTerminal, "echo", "begin", ";", "report", ";", "copy"), newName(t)},
		{"exec", "-t", id, "probe", "echo", "begin", ";", "report", ";", "copy"},
	} {
		master, slave := newTerminal(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = r, slave, slave
		p := watchCommand(t, cmd, master)
		p.sees(`"Size":[33,99]`)
		if raw := settings(t, slave); raw.Lflag&(unix.ECHO|unix.ICANON) != 0 {
			t.Errorf("%s: the terminal is not raw: %x", args[0], raw.Lflag)
		}
		w.Write([]byte("typed\r"))
		p.sees("typed\r\ntyped\r\n")
		w.Write([]byte{4})
		if code := p.status(); code != 0 {
			t.Errorf("%s: status %d", args[0], code)
		}
		if after := settings(t, slave); after.Lflag&unix.ECHO == 0 || after.Lflag&unix.ICANON == 0 {
			t.Errorf("%s: the terminal is not restored", args[0])
		}
		w.Close()
		r.Close()
	}
}

// A detached process's terminal has the size of consoleSize, and is its user's.
func TestConsoleSizeAndOwner(t *testing.T) {
	process := specs.Process{Args: []string{"probe", "report", ";", "wait"}, Cwd: "/", Terminal: true,
		Env: []string{"PATH=/bin"}, ConsoleSize: &specs.Box{Height: 12, Width: 34}, User: specs.User{UID: 7, GID: 8}}
	path, receive := console(t)
	check := func(what string) {
		t.Helper()
		master := receive()
		says(t, master, `"Size":[12,34]`)
		if n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN); err != nil || n != 0 && what == "run" {
			t.Errorf("%s: terminal %d, %v", what, n, err)
		}
	}
	id := newName(t)
	peapod(t, "run", "-d", "--console-socket", path, "-b", newBundle(t, func(s *specs.Spec) {
		args := s.Process.Args
		*s.Process = process
		s.Process.Args = args
	}, "report", ";", "wait"), id).ok()
	check("run")
	file := filepath.Join(t.TempDir(), "process.json")
	writeJSON(t, file, process)
	peapod(t, "exec", "-d", "--console-socket", path, "-p", file, id).ok()
	check("exec")
	for _, tty := range []string{"/dev/pts/0", "/dev/pts/1"} {
		info, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", stateOf(t, id).Pid, tty))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 7 || st.Gid != 5 || info.Mode().Perm() != 0o620 {
			t.Errorf("%s: %d:%d %v", tty, st.Uid, st.Gid, info.Mode())
		}
	}
}

// A process that comes as a whole says itself whether it has a terminal: in the
// foreground that is the user's, of its size, whatever consoleSize is.
func TestTerminalExecProcess(t *testing.T) {
	id := detached(t, nil)
	file := filepath.Join(t.TempDir(), "process.json")
	process := specs.Process{Args: []string{"probe", "report", ";", "copy", ";", "exit", "6"}, Cwd: "/", Env: []string{"PATH=/bin"},
		Terminal: true, ConsoleSize: &specs.Box{Height: 12, Width: 34}}
	writeJSON(t, file, process)
	p, master, slave := onTerminal(t, "exec", "--process", file, id)
	first, _, _ := strings.Cut(p.sees(`"Size":`), "\r\n")
	if r := decode[report.Process](t, strings.SplitAfter(first+"\n", "\n")[0]); !r.TTY || r.Size != [2]uint16{33, 99} {
		t.Errorf("terminal %v of %v", r.TTY, r.Size)
	}
	master.Write([]byte("typed\r"))
	p.sees("typed\r\ntyped\r\n")
	master.Write([]byte{4})
	if code := p.status(); code != 6 {
		t.Errorf("status %d", code)
	}
	if after := settings(t, slave); after.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal is not restored: %+v", after)
	}
	// Without, there is none, with a terminal around it or --tty.
	process.Terminal, process.Args = false, []string{"probe", "report"}
	writeJSON(t, file, process)
	r := peapod(t, "exec", "--tty", "--process", file, id)
	if decode[report.Process](t, r.ok()).TTY {
		t.Error("it has a terminal")
	}
}
