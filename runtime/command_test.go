package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// A command that cannot be executed is an error of Run, Start and Exec alike,
// which says why; and nothing is left of it.
func TestCommandErrors(t *testing.T) {
	s := newStage(t)
	write(t, s.image+"/bin/plain", "text")
	write(t, s.image+"/bin/script", "#!/bin/no-such-shell\n")
	write(t, s.image+"/bin/windows", "#!/bin/probe\r\n")
	write(t, s.image+"/bin/bad", "\x7fELFgarbage")
	write(t, s.image+"/bin/text", "echo hello\n")
	for _, name := range []string{"script", "windows", "bad", "text"} {
		if err := os.Chmod(s.image+"/bin/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := s.start(op("wait"))
	c.line()
	for _, test := range []struct {
		command string
		code    int
		errno   unix.Errno
		reason  string
	}{
		{"missing", 127, unix.ENOENT, `exec "missing": executable file not found in $PATH (/bin)`},
		{"prob", 127, unix.ENOENT, "did you mean probe?"},
		{"/bin/missing", 127, unix.ENOENT, "not found"},
		{"/none/missing", 127, unix.ENOENT, "there is no /none"},
		{"/bin/plain/x", 127, unix.ENOENT, "not found"},
		{"/bin", 126, unix.EACCES, "/bin is a directory"},
		{"plain", 126, unix.EACCES, "is not executable (its mode is 0644)"},
		{"/bin/script", 127, unix.ENOENT, "needs the interpreter /bin/no-such-shell, which the image does not have"},
		{"windows", 127, unix.ENOENT, "Windows line ends"},
		{"bad", 126, unix.ENOEXEC, "bad"},
		{"text", 126, unix.ENOEXEC, "#!"},
	} {
		check := func(how string, err error) {
			t.Helper()
			var ce *CommandError
			if !errors.As(err, &ce) {
				t.Errorf("%s %s: %v (%T)", how, test.command, err, err)
				return
			}
			if ce.ExitCode() != test.code || !errors.Is(err, test.errno) || ce.Command != test.command || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%s %s: exit code %d, %v; want %d, %s", how, test.command, ce.ExitCode(), err, test.code, test.reason)
			}
		}
		spec := baseSpec(s.image)
		spec.Process.Args = []string{test.command}
		other := &stage{t: t, r: s.r, image: s.image, spec: spec}
		id := s.id()
		_, err := s.r.Run(testkit.Soon(t), id, other.options(id))
		check("run", err)
		if _, err := s.r.Load(id); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: after a failed Run: %v", test.command, err)
		}
		created, err := s.r.Create(testkit.Soon(t), id, other.options(id))
		if absent := strings.Contains(test.command, "missing") || strings.HasSuffix(test.command, "/x") || test.command == "prob"; absent != (err != nil) {
			t.Fatalf("create %s: %v", test.command, err)
		}
		if err != nil {
			check("create", err)
			continue
		}
		check("start", created.Start(testkit.Soon(t)))
		if exit, err := created.Wait(testkit.Soon(t)); err != nil || exit.Code == 0 {
			t.Errorf("%s: %v, %v", test.command, exit, err)
		}
		status(t, created, specs.StateStopped)
		if err := created.Delete(testkit.Soon(t), false); err != nil {
			t.Error(err)
		}
		p := command()
		p.Args = spec.Process.Args
		_, err = c.Exec(testkit.Soon(t), &ExecOptions{Process: p})
		check("exec", err)
	}
}

// The image does not say what is in a volume, so no reason is made up.
func TestCommandErrorInVolume(t *testing.T) {
	s := newStage(t)
	volume := filepath.Join(filepath.Dir(s.image), "volume")
	write(t, volume+"/tool", "#!/none\n")
	if err := os.Chmod(volume+"/tool", 0o755); err != nil {
		t.Fatal(err)
	}
	s.spec.Mounts = append(s.spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: volume})
	s.spec.Process.Args = []string{"/volume/tool"}
	_, err := s.r.Run(testkit.Soon(t), s.id(), s.options("x"))
	var ce *CommandError
	if !errors.As(err, &ce) || ce.Reason != "" || ce.ExitCode() != 127 {
		t.Error(err)
	}
}

// Of commands in PATH that cannot be executed the first decides, though the
// kernel's last word is about another.
func TestCommandErrorOfSearch(t *testing.T) {
	s := newStage(t)
	write(t, s.image+"/first/tool", "x")
	s.spec.Process.Args, s.spec.Process.Env = []string{"tool"}, []string{"PATH=/first:/bin"}
	_, err := s.r.Run(testkit.Soon(t), s.id(), s.options("x"))
	var ce *CommandError
	if !errors.As(err, &ce) || ce.ExitCode() != 126 || !errors.Is(err, unix.EACCES) {
		t.Error(err)
	}
}
