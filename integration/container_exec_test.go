package integration

import (
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
	"github.com/peapod/peapod/internal/testkit/report"
)

func TestExecStatus(t *testing.T) {
	id := detached(t, nil)
	peapod(t, "exec", id, "probe", "exit", "5").wants(5)
	peapod(t, "exec", id, "probe", "die", "15").wants(128 + 15)
	peapod(t, "exec", id, "nope").wants(255, "peapod: ", `"nope"`, "not found")
	peapod(t, "exec", id, "/etc").wants(255, "/etc")
	peapod(t, "exec", id).wants(255, "args cannot be empty")
	peapod(t, "exec").wants(255, "argument is missing")
	peapod(t, "exec", testkit.Mark+"none", "probe").wants(255, "does not exist")
	peapod(t, "exec", "--cwd", "tmp", id, "probe").wants(255, "absolute")
	if got := feed(t, strings.NewReader("typed"), "exec", id, "probe", "copy").ok(); got != "typed" {
		t.Errorf("stdin: %q", got)
	}
}

func TestExecOptions(t *testing.T) {
	id := detached(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = false })
	own := decode[report.Process](t, peapod(t, "exec", id, "probe", "report").ok())
	if own.UID != 0 || own.Cwd != "/" || !slices.Contains(own.Env, "TERM=xterm") || own.Limits["NOFILE"] != [2]uint64{1024, 1024} || own.Status["NoNewPrivs"] != "0" {
		t.Errorf("without options: %+v", own)
	}
	if pid := stateOf(t, id).Pid; own.Namespaces["pid"] != readLink(t, "/proc/"+strconv.Itoa(pid)+"/ns/pid") {
		t.Errorf("pid namespace %s", own.Namespaces["pid"])
	}
	r := decode[report.Process](t, peapod(t, "exec", "--user", "7:8", "-g", "9", "--additional-gids", "10,11", "--env", "A= x, y ", "-e", "TERM=vt100",
		"--cwd", "/tmp", "--no-new-privs", "--cap", "CAP_NET_RAW", "--ignore-paused", id, "probe", "report").ok())
	if r.UID != 7 || r.GID != 8 || !slices.Contains(r.Groups, 9) || !slices.Contains(r.Groups, 11) {
		t.Errorf("user %d:%d %v", r.UID, r.GID, r.Groups)
	}
	if !slices.Contains(r.Env, "A= x, y ") || !slices.Contains(r.Env, "TERM=vt100") || slices.Contains(r.Env, "TERM=xterm") {
		t.Errorf("environment %q", r.Env)
	}
	const rawBit = 1 << 13
	bounding, _ := strconv.ParseUint(r.Status["CapBnd"], 16, 64)
	if before, _ := strconv.ParseUint(own.Status["CapBnd"], 16, 64); before&rawBit != 0 || bounding&rawBit == 0 {
		t.Errorf("bounding set %x, without --cap %x", bounding, before)
	}
	if r.Cwd != "/tmp" || r.Status["NoNewPrivs"] != "1" {
		t.Errorf("cwd %s, no_new_privs %s", r.Cwd, r.Status["NoNewPrivs"])
	}
	// UID alone leaves the group.
	if r := decode[report.Process](t, peapod(t, "exec", "-u", "7", id, "probe", "report").ok()); r.UID != 7 || r.GID != 0 {
		t.Errorf("user %d:%d", r.UID, r.GID)
	}
	for _, bad := range [][]string{{"--user", "root"}, {"--user", "1:x"}, {"--user", "4294967295"}, {"-g", "x"}, {"--cap", "NOPE"}, {"--env", "novalue"}} {
		peapod(t, append(append([]string{"exec"}, bad...), id, "probe")...).wants(255, bad[1])
	}
}

func readLink(t testing.TB, path string) string {
	t.Helper()
	s, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What follows the id is the command's, even where peapod knows the option.
func TestExecVerbatim(t *testing.T) {
	id := detached(t, nil)
	if got := peapod(t, "exec", id, "probe", "echo", "--help", "-t", "--", "-d").ok(); got != "--help -t -- -d" {
		t.Errorf("%q", got)
	}
	if got := peapod(t, "exec", id, "--", "probe", "echo", "x").ok(); got != "x" {
		t.Errorf("%q", got)
	}
}

func TestExecProcessFile(t *testing.T) {
	id := detached(t, nil)
	path := filepath.Join(t.TempDir(), "process.json")
	writeJSON(t, path, specs.Process{Args: []string{"/bin/probe", "report"}, Cwd: "/tmp", Env: []string{"ONLY=this"}, User: specs.User{UID: 3}})
	r := decode[report.Process](t, peapod(t, "exec", "--process", path, id).ok())
	if !slices.Contains(r.Env, "ONLY=this") || slices.Contains(r.Env, "TERM=xterm") || r.UID != 3 || r.Cwd != "/tmp" {
		t.Errorf("%+v", r)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	feed(t, f, "exec", "-p", "-", id).ok()
	peapod(t, "exec", "-p", path, id, "probe").wants(255, "--process")
	os.WriteFile(path, []byte("{\n\"args\": 7}"), 0o644)
	peapod(t, "exec", "-p", path, id).wants(255, path+":2:")
}

func TestExecDetached(t *testing.T) {
	id := detached(t, nil)
	pidFile := filepath.Join(t.TempDir(), "pid")
	peapod(t, "exec", "-d", "--pid-file", pidFile, id, "probe", "wait").ok()
	data, _ := os.ReadFile(pidFile)
	pid := decode[int](t, string(data))
	pids := decode[[]int](t, peapod(t, "ps", "-f", "json", id).ok())
	if !slices.Contains(pids, pid) || len(pids) != 2 {
		t.Errorf("pid file %d, processes %v", pid, pids)
	}
}

func TestExecForwardsSignals(t *testing.T) {
	id := detached(t, nil)
	p := begin(t, command(t, "exec", id, "probe", "wait"))
	p.sees("ready")
	p.cmd.Process.Signal(os.Interrupt)
	p.sees("SIGINT")
	if code := p.status(); code != 0 {
		t.Errorf("status %d", code)
	}
}

func TestExecPreserveFds(t *testing.T) {
	id := detached(t, nil)
	cmd := command(t, "exec", "--preserve-fds", "1", id, "probe", "readfd", "3")
	path := filepath.Join(t.TempDir(), "f")
	os.WriteFile(path, []byte("three"), 0o644)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	if got := finish(t, cmd).ok(); got != "three" {
		t.Errorf("%q", got)
	}
}

func TestExecCreated(t *testing.T) {
	id := newName(t)
	peapod(t, "create", "-b", newBundle(t, nil, "wait"), id).ok()
	if got := peapod(t, "exec", id, "probe", "echo", "early").ok(); got != "early" {
		t.Errorf("%q", got)
	}
}

// What exec finds of a container that ends meanwhile depends on when it looks:
// the process runs and dies with it, or the container is not running. Nothing
// else is said.
func TestExecWhileItEnds(t *testing.T) {
	for range 8 {
		id := detached(t, nil)
		var execs []*running
		for range 6 {
			execs = append(execs, begin(t, command(t, "exec", id, "probe", "wait")))
		}
		peapod(t, "kill", id, "KILL").ok()
		for _, p := range execs {
			p.output.SetReadDeadline(time.Now().Add(testkit.Patience))
			said, err := io.ReadAll(p.output)
			code := p.status()
			if err != nil || code != 137 && (code != 255 || !strings.Contains(string(said), "container not running")) {
				t.Errorf("status %d, %q, %v", code, said, err)
			}
		}
		peapod(t, "delete", "-f", id).ok()
	}
}
