package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
)

// asNobody makes a command run without privileges.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// open lets others read what a test has made below /tmp.
func open(t testing.TB, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		lines := strings.Split(peapod(t, flag).ok(), "\n")
		if len(lines) != 3 || lines[0] != "peapod version 0.0.0-test" || lines[1] != "spec: "+specs.Version || !strings.HasPrefix(lines[2], "go: go1.") {
			t.Errorf("%s: %q", flag, lines)
		}
	}
}

func TestPlan(t *testing.T) {
	bundle := newBundle(t, func(s *specs.Spec) { s.Hostname = "planned" }, "echo", "x")
	open(t, bundle)
	r := finish(t, asNobody(command(t, "plan", bundle)))
	plan := r.ok()
	for _, want := range []string{`sethostname("planned"`, "move_mount(", "execve("} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan has no %s:\n%s", want, plan)
		}
	}
	// The bundle is the working directory where none is given.
	cmd := command(t, "plan")
	cmd.Dir = bundle
	if got := finish(t, cmd).ok(); !strings.Contains(got, "planned") {
		t.Errorf("without an argument:\n%s", got)
	}
	if got := peapod(t, "plan", "--no-pivot", bundle).ok(); !strings.Contains(got, "chroot(") || strings.Contains(got, "pivot_root(") {
		t.Errorf("--no-pivot:\n%s", got)
	}
	peapod(t, "plan", newBundle(t, func(s *specs.Spec) { s.Process.Args = nil })).wants(1, "process.args")
}

func TestSpec(t *testing.T) {
	bundle := t.TempDir()
	cmd := command(t, "spec")
	cmd.Dir = bundle
	finish(t, cmd).ok()
	spec := decode[specs.Spec](t, read(t, filepath.Join(bundle, "config.json")))
	if spec.Version != specs.Version || spec.Root.Path != "rootfs" || !spec.Process.Terminal || len(spec.Mounts) != 7 || len(spec.Linux.Namespaces) < 5 {
		t.Errorf("%+v", spec)
	}
	peapod(t, "spec", "-b", bundle).wants(1, "exists", "config.json")
}

func TestGlobalOptions(t *testing.T) {
	peapod(t, "--systemd-cgroup", "list").ok()
	scope := newBundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:x:y" }, "echo")
	peapod(t, "run", "-b", scope, newName(t)).wants(1, "linux.cgroupsPath", "--systemd-cgroup")
	path := newBundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "/x/y" }, "echo")
	peapod(t, "--systemd-cgroup", "run", "-b", path, newName(t)).wants(1, "linux.cgroupsPath", "slice:prefix:name")
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		peapod(t, "--systemd-cgroup", "run", "-b", newBundle(t, nil, "echo"), newName(t)).wants(1, "does not run systemd")
	}
	peapod(t, "--rootless", "true", "list").wants(1, "--rootless", "root")
	for _, args := range [][]string{{"--rootless=false"}, {"--rootless", "auto"}, {"--debug"}} {
		peapod(t, append(args, "list")...).ok()
	}
	// --root wins over the environment.
	id := newName(t)
	root := t.TempDir()
	peapod(t, "--root", root, "run", "-d", "-b", newBundle(t, nil, "wait"), id).ok()
	if got := peapod(t, "--root="+root, "list", "-q").ok(); got != id {
		t.Errorf("list: %q", got)
	}
	if got := peapod(t, "list", "-q").ok(); strings.Contains(got, id) {
		t.Errorf("list elsewhere: %q", got)
	}
	peapod(t, "--root", root, "delete", "-f", id).ok()
}

func TestUnknown(t *testing.T) {
	peapod(t, "strat", "x").wants(1, `"strat"`, "did you mean start?")
	peapod(t, "run", "--consol-socket", "x", "y").wants(1, "did you mean --console-socket?")
	peapod(t, "--lgo", "x", "list").wants(1, "did you mean --log?")
	peapod(t, "exec", "--nope", "x").wants(255, "--nope")
}

// The options that change how the container is set up do so.
func TestRunOptions(t *testing.T) {
	r := decode[report.Process](t, peapod(t, "run", "--no-pivot", "-b", newBundle(t, nil, "report"), newName(t)).ok())
	if r.Pid != 1 {
		t.Errorf("--no-pivot: pid %d", r.Pid)
	}
	own := decode[report.Process](t, peapod(t, "run", "-b", newBundle(t, nil, "report"), newName(t)).ok())
	kept := decode[report.Process](t, peapod(t, "run", "--no-new-keyring", "-b", newBundle(t, nil, "report"), newName(t)).ok())
	if !strings.Contains(own.Keyring, "_ses."+testkit.Mark) || strings.Contains(kept.Keyring, testkit.Mark) {
		t.Errorf("keyring %q, with --no-new-keyring %q", own.Keyring, kept.Keyring)
	}
}

// The completion scripts are what their shells understand, and find ids.
func TestCompletion(t *testing.T) {
	id := detached(t, nil)
	script := peapod(t, "completion", "bash").ok()
	if bash, err := exec.LookPath("bash"); err == nil {
		cmd := command(t)
		cmd.Path, cmd.Args = bash, []string{"bash", "-c", script + `
			COMP_WORDS=("$1" delete --force ` + testkit.Mark + `) COMP_CWORD=3; _peapod; echo "${COMPREPLY[@]}"`, "bash", binary}
		if got := finish(t, cmd).ok(); got != id {
			t.Errorf("bash: %q", got)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		text := peapod(t, "completion", shell).ok()
		if path, err := exec.LookPath(shell); err == nil {
			file := filepath.Join(t.TempDir(), "script")
			os.WriteFile(file, []byte(text), 0o644)
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, out)
			}
		}
	}
	peapod(t, "completion", "csh").wants(1, "bash, zsh and fish")
}
