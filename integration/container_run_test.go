package integration

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestRunStatus(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"exit", "0"}, 0}, {[]string{"exit", "7"}, 7}, {[]string{"exit", "255"}, 255},
	} {
		peapod(t, "run", "-b", newBundle(t, nil, tt.args...), newName(t)).wants(tt.code)
	}
	// The first process of a pid namespace cannot kill itself.
	id := newName(t)
	p := begin(t, command(t, "run", "-b", newBundle(t, nil, "wait"), id))
	p.sees("ready")
	peapod(t, "kill", id, "KILL").ok()
	if code := p.status(); code != 128+9 {
		t.Errorf("status %d", code)
	}
	peapod(t, "state", id).wants(1) // deleted
}

func TestRunKeep(t *testing.T) {
	id := newName(t)
	peapod(t, "run", "--keep", "-b", newBundle(t, nil, "exit", "3"), id).wants(3)
	if s := stateOf(t, id); s.Status != "stopped" {
		t.Errorf("state %+v", s)
	}
	peapod(t, "delete", id).ok()
}

func TestRunStreams(t *testing.T) {
	bundle := newBundle(t, nil, "copy", ";", "stderr", "problem")
	r := feed(t, strings.NewReader("typed"), "run", "-b", bundle, newName(t))
	if r.ok() != "typed" || r.stderr != "problem\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	// The file itself is passed on: nothing is read that the process leaves.
	in, err := os.Open(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	feed(t, in, "run", "-b", newBundle(t, nil, "exit", "0"), newName(t)).ok()
	if n, _ := in.Seek(0, io.SeekCurrent); n != 0 {
		t.Errorf("%d bytes were read from the input", n)
	}
}

func TestRunForwardsSignals(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1, unix.SIGWINCH} {
		p := begin(t, command(t, "run", "-b", newBundle(t, nil, "wait"), newName(t)))
		p.sees("ready")
		p.cmd.Process.Signal(signal)
		if signal != unix.SIGTERM { // on which the probe ends without a word
			p.sees(unix.SignalName(signal))
		}
		if code := p.status(); code != 0 {
			t.Errorf("%v: status %d", signal, code)
		}
	}
}

func TestRunDetached(t *testing.T) {
	id, dir := newName(t), t.TempDir()
	cmd := command(t, "run", "-d", "--pid-file", "pid", "-b", newBundle(t, nil, "wait"), id)
	cmd.Dir = dir
	finish(t, cmd).ok()
	s := stateOf(t, id)
	if pid, _ := os.ReadFile(filepath.Join(dir, "pid")); decode[int](t, string(pid)) != s.Pid || s.Status != "running" {
		t.Errorf("pid file %q, state %+v", pid, s)
	}
}

func TestRunFailures(t *testing.T) {
	id := newName(t)
	peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Process.Args = []string{"nope"} }), id).
		wants(1, "peapod: ", `"nope"`, "executable file not found in $PATH")
	peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Process.Cwd = "tmp" }), id).wants(1, "process.cwd", "absolute")
	peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Root.Path = "/nonexistent" }), id).wants(1, "/nonexistent")
	peapod(t, "run", "-b", t.TempDir(), id).wants(1, "config.json")
	peapod(t, "run", "-b", newBundle(t, nil), "a/b").wants(1, "a/b")
	peapod(t, "run").wants(1, "argument is missing")
	peapod(t, "run", "a", "b").wants(1, "2 arguments")
	peapod(t, "state", id).wants(1, "does not exist") // nothing is left of any
}

// A command that is not there is told when the container is created, one that
// cannot be executed when it is started.
func TestStartReportsCommand(t *testing.T) {
	id := newName(t)
	peapod(t, "create", "-b", newBundle(t, func(s *specs.Spec) { s.Process.Args = []string{"nope"} }), id).wants(1, `"nope"`, "not found")
	peapod(t, "state", id).wants(1, "does not exist")
	peapod(t, "create", "-b", newBundle(t, func(s *specs.Spec) { s.Process.Args = []string{"/etc"} }), id).ok()
	peapod(t, "start", id).wants(1, `"/etc"`, "permission denied")
	testkit.Eventually(t, "it ends", func() bool { return stateOf(t, id).Status == "stopped" })
	// What else fails has its name too: here more files than fs.nr_open allows.
	other := newName(t)
	peapod(t, "create", "-b", newBundle(t, func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 31, Hard: 1 << 31}}
	}), other).ok()
	peapod(t, "start", other).wants(1, "set RLIMIT_NOFILE", "not permitted")
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	peapod(t, "--log", path, "--log-format", "json", "start", testkit.Mark+"none").wants(1, "does not exist")
	data, _ := os.ReadFile(path)
	entry := decode[map[string]string](t, string(data))
	if entry["level"] != "error" || !strings.Contains(entry["msg"], "does not exist") || entry["time"] == "" {
		t.Errorf("log %q", data)
	}
	// Also where the options are wrong, and in the other format.
	os.Remove(path)
	peapod(t, "--log", path, "run", "--nope", "x").wants(1, "--nope")
	data, _ = os.ReadFile(path)
	if !strings.Contains(string(data), "level=error") || !strings.Contains(string(data), `msg="`) || !strings.Contains(string(data), "time=") {
		t.Errorf("log %q", data)
	}
	// Without a file JSON goes to the standard error, and text for people.
	r := peapod(t, "--log-format", "json", "start", testkit.Mark+"none")
	if entry := decode[map[string]string](t, r.stderr); r.code != 1 || entry["level"] != "error" || !strings.Contains(entry["msg"], "does not exist") {
		t.Errorf("status %d, stderr %q", r.code, r.stderr)
	}
	peapod(t, "--log-format", "xml", "list").wants(1, "text or json")
	peapod(t, "--log", filepath.Join(path, "x"), "list").wants(1, "--log")
}

func TestPreserveFds(t *testing.T) {
	bundle := newBundle(t, nil, "readfd", "3", ";", "readfd", "4")
	var files []*os.File
	for _, text := range []string{"three", "four"} {
		path := filepath.Join(t.TempDir(), "f")
		os.WriteFile(path, []byte(text), 0o644)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	with := func(n string, env ...string) *exec.Cmd {
		cmd := command(t, "run", "--preserve-fds", n, "-b", bundle, newName(t))
		cmd.ExtraFiles, cmd.Env = files, append(os.Environ(), env...)
		for _, f := range files {
			f.Seek(0, io.SeekStart)
		}
		return cmd
	}
	if got := finish(t, with("2")).ok(); got != "three\nfour" {
		t.Errorf("%q", got)
	}
	// Those that are not asked for stay outside. (Go itself has a file there.)
	if got := finish(t, with("1")).ok(); !strings.HasPrefix(got, "three\n") || strings.Contains(got, "four") {
		t.Errorf("%q", got)
	}
	finish(t, with("3")).wants(1, "descriptor 5 is not open")
	peapod(t, "run", "--preserve-fds", "-1", "-b", bundle, newName(t)).wants(1, "--preserve-fds")
}

// Sockets of systemd come before the preserved ones. LISTEN_PID is that of
// peapod, which a shell knows before it executes it.
func TestListenFds(t *testing.T) {
	bundle := newBundle(t, nil, "report")
	cmd := command(t)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3</dev/null`, "sh", binary, "run", "-b", bundle, newName(t)}
	r := decode[struct {
		Env   []string
		Files map[string]string
	}](t, finish(t, cmd).ok())
	if env := strings.Join(r.Env, " "); !strings.Contains(env, "LISTEN_FDS=1") || !strings.Contains(env, "LISTEN_PID=1") || r.Files["3"] != "/dev/null" {
		t.Errorf("%+v", r)
	}
}
