package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// ordinary is a user without any privilege who runs peapod: nobody, unless another is
// said, with directories of his own.
type ordinary struct {
	t    testing.TB
	home string
	uid  int
	run  string   // XDG_RUNTIME_DIR
	seat *os.File // the cgroup, of v2, that his processes begin in; or nil
	two  bool     // his commands see cgroup v2 alone, which the host has beside v1
}

func newOrdinary(t testing.TB) *ordinary {
	t.Helper()
	return newUser(t, 65534, "")
}

// newUser is an ordinary user with a number, and a runtime directory, or one in his
// home.
func newUser(t testing.TB, uid int, run string) *ordinary {
	t.Helper()
	home, err := os.MkdirTemp(testkit.Scratch(), "ordinary")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	o := &ordinary{t: t, home: home, uid: uid, run: run}
	if run == "" {
		o.run = home + "/run"
	}
	for _, dir := range []string{"", "run", "data"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o.own(home)
	return o
}

// own gives him a directory and what is below it.
func (o *ordinary) own(dir string) {
	o.t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, o.uid, o.uid)
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// env has the default places of peapod for him, and not those of the tests.
func (o *ordinary) env() []string {
	var list []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PEAPOD_") && !strings.HasPrefix(e, "XDG_") && !strings.HasPrefix(e, "HOME=") {
			list = append(list, e)
		}
	}
	return append(list, "HOME="+o.home, "XDG_RUNTIME_DIR="+o.run, "XDG_DATA_HOME="+o.home+"/data", "TMPDIR="+o.home)
}

func (o *ordinary) command(args ...string) *exec.Cmd {
	if o.two {
		script := `mount -t cgroup2 none /sys/fs/cgroup && exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@"`
		args = append([]string{"-m", "sh", "-c", script, strconv.Itoa(o.uid), binary}, args...)
		cmd := o.self(exec.CommandContext(testkit.Soon(o.t), "unshare", args...))
		cmd.SysProcAttr.Credential = nil
		return cmd
	}
	return o.self(command(o.t, args...))
}

// self makes a command one of his.
func (o *ordinary) self(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env, cmd.Dir, cmd.SysProcAttr = o.env(), o.home, &syscall.SysProcAttr{}
	if os.Geteuid() != o.uid {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.uid)}
	}
	if o.seat != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(o.seat.Fd())
	}
	return cmd
}

// with is the same user in a part of a test.
func (o *ordinary) with(t testing.TB) *ordinary {
	again := *o
	again.t = t
	return &again
}

func (o *ordinary) peapod(args ...string) *result {
	o.t.Helper()
	return finish(o.t, o.command(args...))
}

// granted runs peapod where subuid(5) grants him ids from 100000 on. Nobody
// else sees the files that say so.
func (o *ordinary) granted(args ...string) *result {
	o.t.Helper()
	ids := filepath.Join(o.home, "subid")
	if err := os.WriteFile(ids, []byte("65534:100000:65536\n"), 0o644); err != nil {
		o.t.Fatal(err)
	}
	script := `for f in /etc/subuid /etc/subgid; do test -e $f || : >$f; mount --bind "$0" $f; done; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
	cmd := exec.CommandContext(testkit.Soon(o.t), "unshare", append([]string{"-m", "sh", "-ec", script, ids, binary}, args...)...)
	cmd.Env, cmd.Dir = o.env(), o.home
	return finish(o.t, cmd)
}

// bundle is one of `peapod spec --rootless`, that runs the probe.
func (o *ordinary) bundle(change func(*specs.Spec), args ...string) string {
	o.t.Helper()
	dir, err := os.MkdirTemp(o.home, "bundle")
	if err != nil {
		o.t.Fatal(err)
	}
	o.own(dir)
	o.peapod("spec", "--rootless", "--bundle", dir).ok()
	spec := decode[*specs.Spec](o.t, read(o.t, filepath.Join(dir, "config.json")))
	spec.Root.Path = o.image()
	spec.Process.Terminal = false
	spec.Process.Args = append([]string{"probe"}, args...)
	if change != nil {
		change(spec)
	}
	data, _ := json.Marshal(spec)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		o.t.Fatal(err)
	}
	return dir
}

// image is one that he owns.
func (o *ordinary) image() string {
	o.t.Helper()
	root, err := os.MkdirTemp(o.home, "image")
	if err != nil {
		o.t.Fatal(err)
	}
	os.Chmod(root, 0o755)
	for _, dir := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			o.t.Fatal(err)
		}
	}
	// A copy: a link would change the owner of all.
	if err := os.WriteFile(filepath.Join(root, "bin/probe"), []byte(read(o.t, testkit.Probe(o.t))), 0o755); err != nil {
		o.t.Fatal(err)
	}
	o.own(root)
	return root
}

// left lists what is still registered.
func (o *ordinary) left() string {
	var list []string
	for _, pattern := range []string{o.run + "/peapod/containers/*", o.run + "/peapod/pods/*", o.home + "/data/peapod/pods/*"} {
		found, _ := filepath.Glob(pattern)
		list = append(list, found...)
	}
	return strings.Join(list, " ")
}
