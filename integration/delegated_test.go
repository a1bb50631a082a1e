package integration

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// newDelegated is an ordinary user to whom root has delegated a cgroup of v2; he is in
// a group below that. limit is one that he can have there. On a hybrid host it is of
// huge pages, the one controller that v2 has.
func newDelegated(t *testing.T) (o *ordinary, dir string, limit *specs.LinuxResources) {
	t.Helper()
	testkit.NeedRoot(t)
	mode, err := cgroups.HostMode()
	if err != nil || mode == cgroups.V1 {
		t.Skipf("needs cgroup v2 (%v, %v)", mode, err)
	}
	names++
	path := "/" + testkit.Mark + "delegated" + strconv.Itoa(names)
	no, shares := int64(-1), uint64(1024)
	limit = memoryOf(64 << 20)
	all := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &no}, Pids: &specs.LinuxPids{Limit: &no}, CPU: &specs.LinuxCPU{Shares: &shares}}
	dir = "/sys/fs/cgroup" + path
	if mode == cgroups.Hybrid {
		dir = "/sys/fs/cgroup/unified" + path
		limit = &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}
		all = limit
		if err := cgroups.Check(path, all); err != nil {
			t.Skip(err)
		}
	}
	g, err := cgroups.New(path, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o = newOrdinary(t)
	o.two = mode == cgroups.Hybrid
	if err := os.Mkdir(dir+"/shell", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{dir, dir + "/shell"} {
		for _, file := range []string{"", "/cgroup.procs", "/cgroup.threads", "/cgroup.subtree_control"} {
			if err := os.Chown(at+file, o.uid, o.uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.sits(dir + "/shell")
	return o, dir, limit
}

// sits has his processes begin in a cgroup.
func (o *ordinary) sits(dir string) {
	o.t.Helper()
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { f.Close() })
	o.seat = f
}

func TestDelegatedLimits(t *testing.T) {
	o, dir, _ := newDelegated(t)
	if o.two {
		t.Skip("needs cgroup v2 alone: make test-vm MACHINE=v2")
	}
	o.feelsLimits(groupsBelow(dir))
}

// In the delegated group itself, alone, peapod makes room for limits; beside others it
// says who is in the way. What was not delegated is named.
func TestDelegatedGroupItself(t *testing.T) {
	o, dir, limit := newDelegated(t)
	o.sits(dir)
	if got := o.peapod("run", "-b", o.limited(limit, "echo", "ran"), "c").ok(); got != "ran" {
		t.Errorf("it says %q", got)
	}
	if !o.two {
		o.peapod("pod", "run", "-d", o.manifest(o.pod("p", nil, podLimits(probing("wait"), "64Mi", "1")))).ok()
		o.sits(dir + "/shell") // nobody is born in the group above limits
		o.peapod("pod", "rm", "-f", "p").ok()
		o.sits(dir)
	}
	if left := groupsBelow(dir)(); len(left) != 1 {
		t.Errorf("left: %v", left)
	}

	if !o.two {
		most := int64(64) // of threads too: the kernel does not mind processes beside it
		few := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &most}}
		if got := o.peapod("run", "-b", o.limited(few, "echo", "ran"), "c").ok(); got != "ran" {
			t.Errorf("with a limit of processes alone it says %q", got)
		}
	}
	if has, err := os.ReadFile(dir + "/cgroup.controllers"); err != nil {
		t.Error(err)
	} else if !o.two && !strings.Contains(string(has), "cpuset") { // others may have it on above
		cpus := &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}
		o.peapod("run", "-b", o.limited(cpus, "echo"), "c").wants(1, "linux.resources", "cpuset controller is not available: it is not delegated to this user", "echo +cpuset")
	}

	other := o.self(command(t, "version"))
	other.Path, other.Args = "/bin/sleep", []string{"sleep", "1000"}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	o.peapod("run", "-b", o.limited(limit, "echo"), "c").
		wants(1, "linux.resources", "has process "+strconv.Itoa(other.Process.Pid)+" in it", "move them into a group below it")
	if got := o.peapod("run", "-b", o.bundle(nil, "echo", "ran"), "c").ok(); got != "ran" {
		t.Errorf("without limits it says %q", got)
	}
	if left := o.left(); left != "" {
		t.Errorf("left: %s", left)
	}
}

// From outside of what was delegated a process cannot be moved in, which is said, and no
// container with limits is made.
func TestDelegatedFromOutside(t *testing.T) {
	o, _, limit := newDelegated(t)
	o.clears("c")
	o.peapod("run", "-d", "-b", o.limited(limit, "hold"), "c").ok()
	outside := o.with(t)
	outside.seat = nil
	outside.peapod("exec", "c", "probe", "id").wants(0, "warning", "only who is in the group /"+testkit.Mark, "delegated to this user")
	outside.peapod("pause", "c").ok()
	outside.peapod("resume", "c").ok()
	outside.peapod("delete", "-f", "c").ok()
	outside.peapod("run", "-b", o.limited(limit, "echo"), "c").wants(1, "no cgroup is delegated to this user", "no systemd of user 65534")
}

// What is not measured is not shown as nothing.
func TestRootlessStats(t *testing.T) {
	o := newOrdinary(t)
	o.clears("c")
	o.peapod("run", "-d", "-b", o.bundle(nil, "hold"), "c").ok()
	o.peapod("pod", "run", "-d", o.manifest(o.pod("p", nil, probing("wait")))).ok()
	view := decode[struct {
		Items []struct {
			Name        string
			CPU, Memory *float64
			Pids        int
			Containers  []struct{ Memory *float64 }
		}
	}](t, o.peapod("stats", "--no-stream", "-o", "json", "c", "p").ok())
	if len(view.Items) != 2 {
		t.Fatalf("%+v", view)
	}
	for _, i := range view.Items {
		if i.Memory != nil || i.Pids == 0 {
			t.Errorf("%+v", i)
		}
	}
	o.peapod("pod", "rm", "-f", "p").ok()
	o.peapod("delete", "-f", "c").ok()
}
