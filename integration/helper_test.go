package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// result is what a command printed, and its exit status.
type result struct {
	t              testing.TB
	args           []string
	stdout, stderr string
	code           int
}

// peapod runs the binary to its end.
func peapod(t testing.TB, args ...string) *result {
	t.Helper()
	return feed(t, nil, args...)
}

// feed runs the binary with a standard input.
func feed(t testing.TB, stdin io.Reader, args ...string) *result {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stdin = stdin
	return finish(t, cmd)
}

// command is a call of the binary that is killed when it takes too long.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(testkit.Soon(t), binary, args...)
}

// finish runs cmd to its end. Its output goes to files: a pipe would be held
// open by what a detached container left behind.
func finish(t testing.TB, cmd *exec.Cmd) *result {
	t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(t.TempDir(), "output-")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	if cmd.Stdout == nil {
		cmd.Stdout = files[0]
	}
	if cmd.Stderr == nil {
		cmd.Stderr = files[1]
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	r := &result{t: t, args: cmd.Args, code: cmd.ProcessState.ExitCode()}
	for i, text := range []*string{&r.stdout, &r.stderr} {
		data, err := os.ReadFile(files[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		*text = string(data)
	}
	return r
}

// ok fails the test unless the status is 0, and returns the output without
// space around it.
func (r *result) ok() string {
	r.t.Helper()
	r.wants(0)
	return strings.TrimSpace(r.stdout)
}

// wants fails the test unless the status is code and the error output contains
// each of the texts.
func (r *result) wants(code int, texts ...string) {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("%v: exit status %d, want %d\nstdout: %s\nstderr: %s", r.args, r.code, code, r.stdout, r.stderr)
	}
	for _, s := range texts {
		if !strings.Contains(r.stderr, s) {
			r.t.Fatalf("%v: stderr has no %q: %s", r.args, s, r.stderr)
		}
	}
}

// newRoot makes an image that has the probe in it, under each of the names.
func newRoot(t testing.TB, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(names, "probe") {
		if err := os.Link(testkit.Probe(t), filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// newBundle makes a bundle of `peapod spec`, without a terminal, that runs the
// probe with args. change may be nil.
func newBundle(t testing.TB, change func(*specs.Spec), args ...string) string {
	t.Helper()
	bundle := t.TempDir()
	peapod(t, "spec", "--bundle", bundle).ok()
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec := &specs.Spec{}
	if err := json.Unmarshal(data, spec); err != nil {
		t.Fatal(err)
	}
	spec.Root.Path = newRoot(t)
	spec.Process.Terminal = false
	spec.Process.Args = append([]string{"probe"}, args...)
	if change != nil {
		change(spec)
	}
	writeJSON(t, path, spec)
	return bundle
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// decode parses JSON output.
func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// running is a command in the background whose output can be waited for.
type running struct {
	t      testing.TB
	cmd    *exec.Cmd
	output *os.File
	seen   bytes.Buffer
	ended  chan struct{}
}

// begin starts cmd. Both of its outputs are read, in one stream.
func begin(t testing.TB, cmd *exec.Cmd) *running {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	return watchCommand(t, cmd, r)
}

// watchCommand starts cmd, whose output comes from output.
func watchCommand(t testing.TB, cmd *exec.Cmd, output *os.File) *running {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &running{t: t, cmd: cmd, output: output, ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.ended
		output.Close()
	})
	return p
}

// sees waits until the output has text in it, and returns all of it so far.
func (p *running) sees(text string) string {
	p.t.Helper()
	p.output.SetReadDeadline(time.Now().Add(testkit.Patience))
	for b := make([]byte, 4096); !strings.Contains(p.seen.String(), text); {
		n, err := p.output.Read(b)
		p.seen.Write(b[:n])
		if err != nil && !strings.Contains(p.seen.String(), text) {
			p.t.Fatalf("%v: no %q but %q: %v", p.cmd.Args, text, p.seen.String(), err)
		}
	}
	return p.seen.String()
}

// status waits for the end and returns the exit status.
func (p *running) status() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(testkit.Patience):
		p.t.Fatalf("%v does not end; it wrote %q", p.cmd.Args, p.seen.String())
	}
	return p.cmd.ProcessState.ExitCode()
}
