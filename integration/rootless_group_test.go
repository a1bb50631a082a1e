package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// delegation is a cgroup that an administrator has given to an ordinary user, on a
// host that seems to have cgroup v2 alone.
type delegation struct {
	*ordinary
	dir    string // where v2 is mounted, or will be
	group  string // below it
	script string // shows v2 alone
}

// delegate gives a user a group, with a group "run" below it where he is.
func delegate(t testing.TB) *delegation {
	t.Helper()
	testkit.NeedRoot(t)
	d := &delegation{ordinary: newOrdinary(t), dir: "/sys/fs/cgroup", group: "/" + testkit.Mark + "delegated"}
	if _, err := os.Stat(d.dir + "/cgroup.controllers"); err != nil {
		d.dir += "/unified"
		d.script = "mount -t cgroup2 none /sys/fs/cgroup || exit 99\n"
	}
	if _, err := os.Stat(d.dir + "/cgroup.controllers"); err != nil {
		t.Skip("the host has no cgroup v2 mounted")
	}
	group := d.dir + d.group
	if err := os.MkdirAll(group+"/run", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		testkit.Until(t, func() string { // what ran there may take its time to go
			out, err := exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").CombinedOutput()
			if _, gone := os.Stat(group); gone == nil {
				return string(out) + err.Error()
			}
			return ""
		})
	})
	for _, dir := range []string{group, group + "/run"} {
		for _, file := range []string{"", "/cgroup.procs", "/cgroup.subtree_control"} {
			if err := os.Chown(dir+file, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

// offers passes a controller of the host's on, if it has that.
func (d *delegation) offers(name string) bool {
	d.t.Helper()
	if !slices.Contains(strings.Fields(read(d.t, d.dir+"/cgroup.controllers")), name) {
		return false
	}
	put(d.t, d.dir+"/cgroup.subtree_control", "+"+name)
	return true
}

// peapod runs as the user, in the group "run" of his, or in the root's.
func (d *delegation) peapod(args ...string) *result { return d.from("/run", args...) }

func (d *delegation) from(below string, args ...string) *result {
	d.t.Helper()
	where := d.dir + d.group + below
	if below == "" {
		where = d.dir
	}
	cmd := asNobody(command(d.t, args...))
	if d.script != "" {
		needCommand(d.t, "setpriv")
		script := d.script + `exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
		cmd = exec.CommandContext(testkit.Soon(d.t), "unshare", append([]string{"-m", "sh", "-c", script, "sh", binary}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	group, err := os.Open(where)
	if err != nil {
		d.t.Fatal(err)
	}
	defer group.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	cmd.Env, cmd.Dir = d.env(), d.home
	return finish(d.t, cmd)
}

// Where a cgroup is delegated to an ordinary user his containers have one: it can be
// paused, measured, killed as a whole and limited, and goes with the container.
func TestRootlessDelegated(t *testing.T) {
	d := delegate(t)
	t.Cleanup(func() { d.peapod("delete", "--force", "c") })
	own := d.bundle(func(s *specs.Spec) {
		onHostGroups(s) // twice is refused
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}, "hold")
	d.peapod("run", "-d", "-b", own, "c").ok()
	group := d.dir + d.group + "/peapod/c.container"
	if got := strings.Fields(read(t, group+"/cgroup.procs")); len(got) != 1 {
		t.Errorf("in the container's group: %q", got)
	}
	if got := d.peapod("exec", "c", "probe", "cat", "/proc/self/cgroup").ok(); !strings.Contains(got, "0::/") || strings.Contains(got, "0::"+d.group) {
		t.Errorf("the container sees its group as %q", got)
	}
	d.peapod("exec", "-d", "c", "probe", "hold").ok()
	if got := decode[[]int](t, d.peapod("ps", "-f", "json", "c").ok()); len(got) != 2 {
		t.Errorf("ps: %v", got)
	}
	d.peapod("pause", "c").ok()
	if got := d.peapod("state", "c").ok(); !strings.Contains(got, `"paused"`) {
		t.Errorf("state: %s", got)
	}
	d.peapod("resume", "c").ok()
	if got := d.peapod("events", "--stats", "c").ok(); !strings.Contains(got, `"type":"stats"`) {
		t.Errorf("events: %s", got)
	}
	// From where nothing is his, what is executed stays outside, and he is told.
	if r := d.from("", "exec", "c", "probe", "echo", "x"); r.ok() != "x" || !strings.Contains(r.stderr, "not in the container's cgroup") {
		t.Errorf("from elsewhere: %q, %q", r.stdout, r.stderr)
	}
	d.peapod("kill", "--all", "c", "KILL").ok()
	d.peapod("delete", "-f", "c").ok()
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("%s: %v", group, err)
	}
	// A path of one's own is taken below what is delegated, and elsewhere not.
	for path, want := range map[string]string{d.group + "/own/c": "own/c", "/elsewhere/c": ""} {
		b := d.bundle(func(s *specs.Spec) { s.Linux.CgroupsPath = path }, "hold")
		d.peapod("run", "-d", "-b", b, "c").ok()
		if _, err := os.Stat(filepath.Join(d.dir, d.group, want, "cgroup.procs")); want != "" && err != nil {
			t.Error(err)
		}
		r := d.peapod("pause", "c")
		if want == "" {
			r.wants(1, "has no cgroup")
		} else {
			r.ok()
		}
		d.peapod("delete", "-f", "c").ok()
	}
}

// His limits hold, and those that were not delegated to him are refused.
func TestRootlessDelegatedLimits(t *testing.T) {
	d := delegate(t)
	limit := int64(8)
	b := d.bundle(func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}} }, "hold")
	if !d.offers("pids") {
		d.peapod("run", "-d", "-b", b, "c").wants(1, "pids")
		return
	}
	t.Cleanup(func() { d.peapod("delete", "--force", "c") })
	d.peapod("run", "-d", "-b", b, "c").ok()
	group := d.dir + d.group + "/peapod/c.container"
	if got := strings.TrimSpace(read(t, group+"/pids.max")); got != "8" {
		t.Errorf("pids.max is %s", got)
	}
	d.peapod("update", "--pids-limit", "9", "c").ok()
	if got := strings.TrimSpace(read(t, group+"/pids.max")); got != "9" {
		t.Errorf("pids.max is %s after an update", got)
	}
	d.peapod("delete", "-f", "c").ok()
}
