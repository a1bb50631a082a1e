package runtime

import (
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// console is a pair of connected sockets, as an engine has them.
func console(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs = os.NewFile(uintptr(pair[0]), "console"), os.NewFile(uintptr(pair[1]), "console")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// master receives the terminal.
func master(t *testing.T, socket *os.File) *os.File {
	t.Helper()
	b, oob := make([]byte, 64), make([]byte, 64)
	n, oobn, _, _, err := unix.Recvmsg(int(socket.Fd()), b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "terminal")
	t.Cleanup(func() { f.Close() })
	return f
}

// terminalLine reads a line that a terminal shows.
func terminalLine(t *testing.T, f *os.File) string {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(20 * time.Second))
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := f.Read(b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return strings.TrimRight(string(line), "\r")
		}
		line = append(line, b[0])
	}
}

// A terminal is the container's own: it controls the process, has the size that
// was asked for, and is what engines get the other end of.
func TestTerminal(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Terminal = true
	s.spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 123}
	for name, how := range starters {
		s.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		s.spec.Process.Args = ops(op("report"), op("stat", "/dev/console"), op("link", "/proc/self/fd/0"), op("create", "/dev/tty", "direct\n"), op("wait"), op("wait"))
		ours, theirs := console(t)
		o := s.options(s.id())
		o.Console = theirs
		c := s.launch(o, how)
		if name == "Create" {
			status(t, c.Container, specs.StateCreated)
		}
		m := master(t, ours)
		if name == "Create" {
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		r := parseReport(t, terminalLine(t, m))
		if !r.TTY || r.Size != [2]uint16{33, 123} || r.Sid != r.Pid || r.Foreground != r.Pid || r.UID != 1000 {
			t.Errorf("%s: %+v", name, r)
		}
		if len(r.Files) != 3 || r.Files["1"] != "/dev/pts/0" || r.Files["2"] != "/dev/pts/0" {
			t.Errorf("%s: open files: %v", name, r.Files)
		}
		// Owned by the user, and by the group of devpts.
		if got := terminalLine(t, m); !strings.HasPrefix(got, "char 0620 1000:5 136:0") {
			t.Errorf("%s: /dev/console: %s", name, got)
		}
		for _, want := range []string{"/dev/pts/0", "direct", "ok", "ready"} {
			if got := terminalLine(t, m); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		// A new size is told, and a key sends a signal: it is the controlling terminal.
		if err := unix.IoctlSetWinsize(int(m.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 5, Col: 6}); err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(int(m.Fd()), true)
		if got := terminalLine(t, m); got != "SIGWINCH" {
			t.Errorf("%s: %q", name, got)
		}
		terminalLine(t, m)                            // ready
		if _, err := m.Write([]byte{3}); err != nil { // ^C
			t.Fatal(err)
		}
		if got := terminalLine(t, m); !strings.HasSuffix(got, "SIGINT") {
			t.Errorf("%s: %q", name, got)
		}
		if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 0 {
			t.Errorf("%s: %v, %v", name, exit, err)
		}
		m.Close()
	}
}

// The end of the terminal's other side is a hangup.
func TestTerminalHangup(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Terminal = true
	s.spec.Process.Args = ops(op("wait"))
	ours, theirs := console(t)
	o := s.options(s.id())
	o.Console = theirs
	c := s.launch(o, (*Runtime).Run)
	m := master(t, ours)
	terminalLine(t, m)
	m.Close()
	if _, err := c.Wait(testkit.Soon(t)); err != nil {
		t.Error(err)
	}
}

// An executed process has one of its own, of the container's devpts.
func TestExecTerminal(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	ours, theirs := console(t)
	p := command(op("report"), op("wait"))
	p.Terminal, p.ConsoleSize = true, &specs.Box{Height: 7, Width: 8}
	p.User.UID = 1000
	proc, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: p, Console: theirs})
	if err != nil {
		t.Fatal(err)
	}
	m := master(t, ours)
	r := parseReport(t, terminalLine(t, m))
	if !r.TTY || r.Size != [2]uint16{7, 8} || r.Foreground != r.Pid || r.Files["0"] != "/dev/pts/0" || len(r.Files) != 3 {
		t.Errorf("%+v", r)
	}
	terminalLine(t, m)
	if _, err := m.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if exit, err := proc.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 0 {
		t.Errorf("%v, %v", exit, err)
	}
}

// In a user namespace the terminal belongs to its user.
func TestTerminalInUserNamespace(t *testing.T) {
	s := newStage(t)
	s.inUser()
	s.spec.Process.Terminal = true
	s.spec.Process.Args = ops(op("report"), op("stat", "/dev/console"))
	ours, theirs := console(t)
	o := s.options(s.id())
	o.Console = theirs
	c := s.launch(o, (*Runtime).Run)
	m := master(t, ours)
	if r := parseReport(t, terminalLine(t, m)); !r.TTY || r.Foreground != 1 {
		t.Errorf("%+v", r)
	}
	if got := terminalLine(t, m); !strings.HasPrefix(got, "char 0620 0:5 136:0") {
		t.Error(got)
	}
	c.Wait(testkit.Soon(t))
}

func TestTerminalNeedsConsole(t *testing.T) {
	spec := planSpec()
	spec.Process.Terminal = true
	_, err := (&CreateOptions{Spec: spec}).plan("/run/peapod", "x", true)
	if err == nil || !strings.Contains(err.Error(), "process.terminal: there is nobody to send the terminal to") {
		t.Error(err)
	}
}
