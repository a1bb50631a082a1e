package runtime

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// exec starts a process in the container that nobody listens to.
func (c *container) exec(t testing.TB, process *specs.Process) *Process {
	t.Helper()
	p, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: process})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inside runs a process in the container to its end.
func (c *container) inside(t testing.TB, o *ExecOptions) (string, ExitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.Stdout, o.Stderr = w, w
	p, err := c.Exec(testkit.Soon(t), o)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait(testkit.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(out), "\n"), status
}

// command is a process that uses the probe.
func command(list ...[]string) *specs.Process {
	return &specs.Process{Args: ops(list...), Cwd: "/", Env: []string{"PATH=/bin"}}
}

func TestExec(t *testing.T) {
	s := newStage(t)
	for name, how := range starters {
		s.spec.Process.Args = ops(op("wait"))
		c := s.launch(s.options(s.id()), how)
		if name == "Run" {
			c.line()
		}
		out, status := c.inside(t, &ExecOptions{Process: command(op("report"), op("exit", "3"))})
		if status.Code != 3 {
			t.Fatalf("%s: %v\n%s", name, status, out)
		}
		r := parseReport(t, out)
		for kind, here := range r.Namespaces {
			kind = strings.TrimSuffix(kind, "_for_children")
			if of, _ := os.Readlink("/proc/" + strconv.Itoa(c.Pid()) + "/ns/" + kind); of != here {
				t.Errorf("%s: the %s namespace is %s, the container's is %s", name, kind, here, of)
			}
		}
		if r.Host != "box" || r.Cwd != "/" || r.Ppid != 0 || r.Sid != r.Pid || r.Umask != 0o022 || r.Status["CapBnd"] != "0000000000000000" {
			t.Errorf("%s: %+v", name, r)
		}
		// Its first process has the same view, so it is in the same groups.
		if len(r.Files) != 3 {
			t.Errorf("%s: open files: %v", name, r.Files)
		}
		for _, line := range strings.Fields(r.Cgroup) {
			if !strings.HasSuffix(line, ":/") {
				t.Errorf("%s: it is in group %s", name, line)
			}
		}
		if name == "Create" {
			if exe, _ := os.Readlink("/proc/" + strconv.Itoa(c.Pid()) + "/exe"); strings.HasSuffix(exe, "/probe") {
				t.Error("Exec started the container")
			}
		}
	}
}

func TestExecProcess(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	extra, err := os.Open(s.image)
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	p := command(op("report"))
	p.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5}}
	p.Cwd = "/made/for/exec"
	p.Env = append(p.Env, "X=1", "X=2")
	p.NoNewPrivileges = true
	p.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}
	adj := 77
	p.OOMScoreAdj = &adj
	pidFile := filepath.Join(t.TempDir(), "pid")
	out, status := c.inside(t, &ExecOptions{Process: p, ExtraFiles: []*os.File{extra}, PidFile: pidFile})
	if status.Code != 0 {
		t.Fatal(status)
	}
	r := parseReport(t, out)
	if r.UID != 1000 || r.GID != 1001 || !slices.Equal(r.Groups, []int{5}) || r.Cwd != "/made/for/exec" ||
		!slices.Equal(r.Env, []string{"PATH=/bin", "X=2", "HOME=/"}) || r.Status["NoNewPrivs"] != "1" || r.Status["CapBnd"] != "0000000000000020" {
		t.Errorf("%+v", r)
	}
	if r.OOMScoreAdj != "77" {
		t.Errorf("oom_score_adj is %s", r.OOMScoreAdj)
	}
	if len(r.Files) != 4 || r.Files["3"] == "" {
		t.Errorf("open files: %v", r.Files)
	}
	if n, err := strconv.Atoi(content(t, pidFile)); err != nil || n < 2 {
		t.Errorf("pid file: %d, %v", n, err)
	}
}

// A working directory that is made can be entered whatever the caller's umask.
func TestExecUmask(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	defer unix.Umask(unix.Umask(0o077))
	p := command(op("report"), op("stat", "/made/privately"))
	p.Cwd, p.User.UID = "/made/privately", 1000
	out, _ := c.inside(t, &ExecOptions{Process: p})
	lines := strings.Split(out, "\n")
	if r := parseReport(t, lines[0]); r.Cwd != "/made/privately" || r.Umask != 0o022 {
		t.Errorf("cwd %q, umask %#o", r.Cwd, r.Umask)
	}
	if lines[1] != "dir 0755 0:0 0:0" {
		t.Errorf("the directory: %s", lines[1])
	}
}

func TestExecErrors(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	write(t, s.image+"/bin/plain", "x")
	pidFile := filepath.Join(t.TempDir(), "pid")
	for name, code := range map[string]int{"none": 127, "/none/x": 127, "plain": 126, "/bin/plain": 126, "/bin": 126} {
		p := command()
		p.Args = []string{name}
		_, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: p, PidFile: pidFile})
		var ce *CommandError
		if !errors.As(err, &ce) || ce.ExitCode() != code || ce.Command != name {
			t.Errorf("%s: %v, want exit code %d", name, err, code)
		}
		if _, err := os.Stat(pidFile); err == nil {
			t.Errorf("%s: the pid file is left", name)
		}
	}
	for _, p := range []*specs.Process{nil, {}, {Args: []string{"x"}}, {Args: []string{"x"}, Cwd: "x"}, {Args: []string{"x\x00"}, Cwd: "/"}, {Args: []string{"x"}, Cwd: "/", Terminal: true}} {
		if _, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: p}); err == nil {
			t.Errorf("%+v: no error", p)
		}
	}
	p := command()
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40}}
	if _, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: p}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "RLIMIT_NOFILE") {
		t.Errorf("a limit that cannot be raised: %v", err)
	}
	pids, err := c.Pids()
	if err != nil || len(pids) != 1 {
		t.Errorf("processes %v, %v", pids, err)
	}
}

func TestExecSignal(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	p := c.exec(t, command(op("wait")))
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		if exit, err := p.Wait(testkit.Soon(t)); err != nil || exit.Signal != unix.SIGKILL {
			t.Errorf("%v, %v", exit, err)
		}
	}
	if err := p.Signal(unix.SIGKILL); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Signal after the end: %v", err)
	}
}

// A process of the container ends when the first one does.
func TestExecEndsWithContainer(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	p := c.exec(t, command(op("wait")))
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(testkit.Soon(t)); err != nil || exit.Signal != unix.SIGKILL {
		t.Errorf("%v, %v", exit, err)
	}
}
