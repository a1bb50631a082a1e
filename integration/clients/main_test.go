// Package clients tests that engines can use peapod as their runtime: podman,
// containerd and Docker, as Debian has them. Each engine is started by the tests,
// with its images, state and sockets in a directory of its own.
package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// binary is the runtime: peapod, unless RUNTIME is set, to see how another does.
var binary string

func TestMain(m *testing.M) { os.Exit(testkit.Reap(func() int { return testMain(m) })) }

func testMain(m *testing.M) (code int) {
	os.Setenv("CGO_ENABLED", "0")
	var err error
	if binary = os.Getenv("RUNTIME"); binary != "" {
		return testkit.Run(m)
	}
	if binary, err = testkit.Build("peapod"); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		return 1
	}
	return testkit.Run(m)
}

// needs skips the test where a program is missing that CI has.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("%s is not installed", p)
	}
}

// engine calls an engine's command line.
type engine struct {
	t    testing.TB
	dir  string
	name string
	args []string // before those of each call
	env  []string
}

// run runs a command and returns its exit status and its output, both streams
// together and without space around it.
func (e *engine) run(args ...string) (code int, output string) {
	e.t.Helper()
	return e.finish(e.command(args...))
}

func (e *engine) command(args ...string) *exec.Cmd {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	e.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, e.name, append(append([]string{}, e.args...), args...)...)
	cmd.Env, cmd.Dir = append(os.Environ(), e.env...), e.dir // monitors write files where they are
	return cmd
}

// finish waits for a command. Its output goes to a file: monitors that it leaves
// behind would hold a pipe open.
func (e *engine) finish(cmd *exec.Cmd) (code int, output string) {
	e.t.Helper()
	f, err := os.CreateTemp(e.dir, "output-")
	if err != nil {
		e.t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		e.t.Fatalf("%v: %v", cmd.Args, err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		e.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))))
}

// ok runs a command that has to succeed and returns its output.
func (e *engine) ok(args ...string) string {
	e.t.Helper()
	code, out := e.run(args...)
	if code != 0 {
		e.t.Fatalf("%s %s: exit status %d\n%s", e.name, strings.Join(args, " "), code, out)
	}
	return out
}

// says runs a command that has to end with a status and have the texts in its
// output.
func (e *engine) says(code int, texts []string, args ...string) {
	e.t.Helper()
	got, out := e.run(args...)
	if got != code {
		e.t.Errorf("%s %s: exit status %d, want %d\n%s", e.name, strings.Join(args, " "), got, code, out)
		return
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			e.t.Errorf("%s %s: no %q in\n%s", e.name, strings.Join(args, " "), text, out)
		}
	}
}

// onTerminal runs a command on a terminal of its own.
func (e *engine) onTerminal(args ...string) (code int, output string) {
	e.t.Helper()
	cmd := e.command(args...)
	var line []string
	for _, a := range cmd.Args {
		line = append(line, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	script := exec.CommandContext(context.Background(), "script", "-qec", strings.Join(line, " "), "/dev/null")
	script.Env, script.Dir = cmd.Env, cmd.Dir
	return e.finish(script)
}

// until polls a command until its output has the text.
func (e *engine) until(text string, args ...string) {
	e.t.Helper()
	testkit.Until(e.t, func() string {
		if code, out := e.run(args...); !strings.Contains(out, text) {
			return fmt.Sprintf("%s %s: exit status %d, no %q in\n%s", e.name, strings.Join(args, " "), code, text, out)
		}
		return ""
	})
}

// newImage makes an archive of a root with busybox in it.
func newImage(t testing.TB, dir string) (archive string) {
	t.Helper()
	needs(t, "busybox", "tar")
	root := filepath.Join(dir, "image")
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev", "home"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, _ := exec.LookPath("busybox")
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755)
	}
	for name := range strings.FieldsSeq(string(list)) {
		if err == nil && name != "busybox" {
			err = os.Symlink("busybox", filepath.Join(root, "bin", name))
		}
	}
	for file, text := range map[string]string{"passwd": "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n", "group": "root:x:0:\nuser:x:1000:\n"} {
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "etc", file), []byte(text), 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	archive = filepath.Join(dir, "image.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", archive, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return archive
}
