package program

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestMain puts the emulator named in PEAPOD_EMULATOR, for instance
// qemu-aarch64-static, before the images: TestEmulated runs this package's
// tests so, built for the other architecture.
func TestMain(m *testing.M) {
	if emulator := os.Getenv(emulatorVariable); emulator != "" {
		launch = func(path string, argv []string, a *syscall.ProcAttr) (int, error) {
			out := a.Sys.PidFD
			a.Sys.PidFD = nil // the emulator's clone does not know it
			pid, err := syscall.ForkExec(emulator, []string{emulator, path}, a)
			if err == nil {
				*out, err = unix.PidfdOpen(pid, 0)
			}
			return pid, err
		}
		os.Exit(m.Run())
	}
	os.Exit(testkit.Run(m))
}

const emulatorVariable = "PEAPOD_EMULATOR"

// run starts p and returns what it wrote to standard output, its exit status
// and the error of its program.
func run(t *testing.T, p *Program) (string, int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	proc, err := p.Start(&Attr{Stdout: w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	var failed error
	for failed == nil {
		var e Event
		if e, failed = proc.Next(context.Background()); failed == nil && strings.HasPrefix(e.Label, "sync") {
			if err := proc.Continue(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if failed == io.EOF {
		failed = nil
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	status, err := proc.Reap()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), status.ExitStatus(), failed
}

func write(p *Program, s string) *Step {
	return p.Call(unix.SYS_WRITE, Int(1), p.Str(s), Int(len(s))).For("write", s)
}

func TestExec(t *testing.T) {
	p := New()
	p.Executing()
	args := []string{"sh", "-c", `echo "$0 $1 $X"; exit 7`, "a", "b"}
	p.Call(unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs(args), p.Strs([]string{"X=c"})).For("execute", "/bin/sh")
	out, status, err := run(t, p)
	if out != "a b c\n" || status != 7 || err != nil {
		t.Errorf("got %q, status %d, %v", out, status, err)
	}
}

func TestFailingStep(t *testing.T) {
	p := New()
	write(p, "one ")
	p.Call(unix.SYS_CHDIR, p.Str("/no/such/directory")).For("change directory to", "/no/such/directory")
	write(p, "two")
	p.Exit(0)
	out, status, err := run(t, p)
	if out != "one " || status != exitStatus {
		t.Errorf("got %q, status %d", out, status)
	}
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("errors.Is(%v, ENOENT) is false", err)
	}
	const want = "change directory to /no/such/directory (chdir): no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// Results go into arguments of later steps, whatever argument it is.
func TestVariables(t *testing.T) {
	p := New()
	fd, n := p.Var("fd"), p.Var("n")
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	flags := Sym(unix.O_RDWR|unix.O_CREAT, "O_RDWR|O_CREAT")
	p.Call(unix.SYS_OPENAT, Int(unix.AT_FDCWD), p.Str(name), flags, Octal(0o600)).Into(fd)
	p.Call(unix.SYS_WRITE, fd.Value(), p.Str("12345"), Int(5)).Into(n)
	p.Call(unix.SYS_WRITE, Int(1), p.Str("abcdefgh"), n.Value())
	p.Exit(0)
	out, status, err := run(t, p)
	if out != "abcde" || status != 0 || !errors.Is(err, ErrDied) {
		t.Errorf("got %q, status %d, %v", out, status, err)
	}
	if b, _ := os.ReadFile(name); string(b) != "12345" {
		t.Errorf("the file holds %q", b)
	}
}

// All six arguments can come from variables.
func TestIndirectArguments(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strings.Repeat("x", 8192) + "text in the file"); err != nil {
		t.Fatal(err)
	}
	p := New()
	fd := p.File(file, "file")
	var vars [6]Value
	for i, n := range []uint64{0, 4096, unix.PROT_READ, unix.MAP_PRIVATE, fd.bits, 8192} {
		v := p.Var("arg")
		p.Set(v, n)
		vars[i] = v.Value()
	}
	mapped := p.Var("mapped")
	p.Call(unix.SYS_MMAP, vars[:]...).Into(mapped)
	p.Call(unix.SYS_WRITE, Int(1), mapped.Value(), Int(16))
	p.Exit(0)
	if out, _, err := run(t, p); out != "text in the file" || !errors.Is(err, ErrDied) {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestBranches(t *testing.T) {
	p := New()
	other, end, child := p.Label(), p.Label(), p.Label()
	p.Call(unix.SYS_CHDIR, p.Str("/no")).Tolerate(unix.ENOENT, unix.EOPNOTSUPP).Else(other)
	write(p, "not here")
	p.Here(other)
	write(p, "else ")
	// An errno above 63 is in the second word.
	p.Call(unix.SYS_LISTEN, Int(0), Int(0)).Tolerate(unix.ENOTSOCK)
	p.Call(unix.SYS_CLONE, Int(int(unix.SIGCHLD)), Null, Null, Null, Null).Zero(child)
	p.Call(unix.SYS_WAIT4, Int(-1), Null, Null, Null)
	write(p, "parent ").Then(end)
	p.Here(child)
	write(p, "child ")
	p.Exit(0)
	p.Here(end)
	p.Exit(3)
	out, status, err := run(t, p)
	if out != "else child parent " || status != 3 || !errors.Is(err, ErrDied) {
		t.Errorf("got %q, status %d, %v", out, status, err)
	}
}

// An errno that is not among the tolerated ones ends the program.
func TestOtherErrno(t *testing.T) {
	p := New()
	p.Call(unix.SYS_CHDIR, p.Str("/dev/null")).Tolerate(unix.ENOENT)
	p.Exit(0)
	if _, _, err := run(t, p); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("got %v, want ENOTDIR", err)
	}
}

// A call that fails with EAGAIN is made again, but not for ever.
func TestRetry(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// empty is a program that reads n times what is not there yet.
	empty := func(n uint32) (p *Program, read *Step) {
		p = New()
		fd := p.File(r, "pipe")
		p.Call(unix.SYS_FCNTL, fd, Int(unix.F_SETFL), Int(unix.O_NONBLOCK))
		p.Send(p.Message("reading"))
		return p, p.Call(unix.SYS_READ, fd, p.Bytes(make([]byte, 8), ""), Int(1)).Retry(n).For("read", "the pipe")
	}
	for _, n := range []uint32{0, 1, 1000} {
		p, _ := empty(n)
		p.Exit(0)
		if _, _, err := run(t, p); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("after %d retries: %v", n, err)
		}
		// When they are used up the error may be tolerated like any other.
		p, read := empty(n)
		read.Tolerate(unix.EAGAIN)
		write(p, "on")
		p.Exit(0)
		if out, _, _ := run(t, p); out != "on" {
			t.Errorf("after %d retries: %q", n, out)
		}
	}
	p, _ := empty(1 << 31)
	p.Exit(5)
	proc, err := p.Start(&Attr{})
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if e, err := proc.Next(context.Background()); err != nil || e.Label != "reading" {
		t.Fatal(e, err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if status, err := proc.Reap(); err != nil || status.ExitStatus() != 5 {
		t.Errorf("the reading process ended with %v, %v", status, err)
	}
}

func TestSync(t *testing.T) {
	p := New()
	pid, value := p.Var("pid"), p.Sync("sync one")
	_ = pid
	p.Set(value, 42)
	write(p, "on")
	p.Exit(0)
	proc, err := p.Start(&Attr{})
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	e, err := proc.Next(context.Background())
	if err != nil || e != (Event{"sync one", 42}) {
		t.Fatalf("got %+v, %v", e, err)
	}
	proc.report.Close() // as if this process died
	if status, err := proc.Reap(); err != nil || status.ExitStatus() != exitStatus {
		t.Errorf("the waiting process ended with %v, %v", status, err)
	}
}

func TestNextEndsWithContext(t *testing.T) {
	p := New()
	p.Sync("sync for ever")
	p.Exit(0)
	proc, err := p.Start(&Attr{})
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if _, err := proc.Next(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := proc.Next(ctx); err != cause {
		t.Errorf("got %v, want %v", err, cause)
	}
	proc.Reap()
}

// The process sees the descriptors that it was given and no others, however
// their numbers here lie.
func TestDescriptors(t *testing.T) {
	var files []*os.File
	for range 40 {
		f, err := os.Open("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := New(null, files[30])
	for i := range 20 {
		p.File(files[i*2], "status")
	}
	p.Call(unix.SYS_CLOSE_RANGE, p.Own(), Int(^uint32(0)), Sym(unix.CLOSE_RANGE_CLOEXEC, "CLOSE_RANGE_CLOEXEC"))
	p.Executing()
	// The shell itself opens 5 to read the directory.
	args := []string{"sh", "-c", "cd /proc/$$/fd && echo * && readlink 3"}
	p.Call(unix.SYS_EXECVE, p.Str("/bin/sh"), p.Strs(args), p.Strs(nil))
	out, _, err := run(t, p)
	if err != nil || strings.TrimSpace(strings.TrimPrefix(out, "0 1 2 3 4 5")) != "/dev/null" {
		t.Errorf("the process has descriptors %q, %v", out, err)
	}
}

func TestUnlinkedImage(t *testing.T) {
	p := New()
	p.Exit(5)
	elf, err := p.ELF()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := unlinked(elf, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left in the directory: %v", left)
	}
	files := make([]uintptr, f.Fd()+1) // standard input, again and again
	files[f.Fd()] = f.Fd()
	pidfd := -1
	pid, err := launch(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []string{"x"},
		&syscall.ProcAttr{Files: files, Sys: &syscall.SysProcAttr{PidFD: &pidfd}})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pidfd)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 5 {
		t.Errorf("exit status %d, %v", status.ExitStatus(), err)
	}
}

func TestRefused(t *testing.T) {
	loose := New()
	loose.Call(unix.SYS_GETPID).Then(loose.Label())
	loose.Exit(0)
	open := New()
	open.Call(unix.SYS_GETPID)
	for _, p := range []*Program{New(), loose, open} {
		if _, err := p.ELF(); err == nil {
			t.Errorf("no error for a program of %d steps", p.Steps())
		}
	}
}

func TestList(t *testing.T) {
	p := New()
	null := p.File(nil, "null")
	fd, skip := p.Var("fd"), p.Label()
	p.Call(unix.SYS_OPENAT, null, p.Str("a\nb"), Sym(unix.O_PATH, "O_PATH"), Octal(0o755)).
		Into(fd).Tolerate(unix.ENOENT).Else(skip).For("open", "a\nb")
	p.Call(unix.SYS_FCHDIR, fd.Value())
	p.Here(skip)
	p.Exit(1)
	var b strings.Builder
	if err := p.List(&b); err != nil {
		t.Fatal(err)
	}
	const want = "# descriptor 3: report\n# descriptor 4: null\n" +
		"  0  openat(<null>, \"a\\nb\", O_PATH, 0755) = $fd1  # open a\nb; ENOENT: 2\n" +
		"  1  fchdir($fd1)\n" +
		"  2  exit_group(1)\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if _, err := p.Start(&Attr{}); err == nil {
		t.Error("a program without its files was started")
	}
}

func BenchmarkStart(b *testing.B) {
	p := New()
	p.Exit(0)
	for b.Loop() {
		proc, err := p.Start(&Attr{})
		if err != nil {
			b.Fatal(err)
		}
		proc.Reap()
		proc.Close()
	}
}

// What a FIFO has of messages tells of the command's failure apart from that of
// a step that comes before it.
func TestLastMessage(t *testing.T) {
	message := func(errno, step, value uint64) []byte {
		le := binary.LittleEndian
		return le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, errno), step), value)
	}
	begun, back := message(0, 3, valueExecuting), message(0, 4, 0)
	failed := message(uint64(unix.EINVAL), 0x601000, 0)
	for _, c := range []struct {
		messages  [][]byte
		failure   error
		executing bool
	}{
		{nil, nil, false},
		{[][]byte{begun}, nil, true},
		{[][]byte{begun, failed}, unix.EINVAL, true},
		{[][]byte{begun, back, failed}, unix.EINVAL, false},
		{[][]byte{message(0, 1, 7), failed}, unix.EINVAL, false},
		{[][]byte{begun, message(0, 1, 7)}, nil, true},
	} {
		if failure, executing := LastMessage(bytes.Join(c.messages, nil)); failure != c.failure || executing != c.executing {
			t.Errorf("%d messages: %v, %v; want %v, %v", len(c.messages), failure, executing, c.failure, c.executing)
		}
	}
	var gaveUp *GaveUp
	failure, _ := LastMessage(bytes.Join([][]byte{message(givenUp, 5, 256), failed}, nil))
	if !errors.As(failure, &gaveUp) || *gaveUp != (GaveUp{5, 256}) {
		t.Errorf("given up: %v", failure)
	}
}
