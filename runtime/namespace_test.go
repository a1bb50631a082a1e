package runtime

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// holder is a process in new namespaces that does nothing.
func holder(t *testing.T, flags uintptr, mapped bool) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo x; read x")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if mapped {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // it runs
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func nsPath(pid int, kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, kind) }

// Namespaces are joined one by one and together, and all others stay new.
func TestJoin(t *testing.T) {
	s := newStage(t)
	kinds := map[specs.LinuxNamespaceType]string{"network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "pid": "pid"}
	pid := holder(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWIPC|syscall.CLONE_NEWUTS|syscall.CLONE_NEWCGROUP, false)
	inner := s.start(op("wait")) // a pid namespace that has a process
	inner.line()
	path := func(kind specs.LinuxNamespaceType) string {
		if kind == "pid" {
			return nsPath(inner.Pid(), "pid")
		}
		return nsPath(pid, kinds[kind])
	}
	for _, joined := range [][]specs.LinuxNamespaceType{{"network"}, {"ipc"}, {"uts"}, {"cgroup"}, {"pid"},
		{"network", "ipc", "uts"}, {"network", "ipc", "uts", "cgroup", "pid"}} {
		s := &stage{t: t, r: s.r, image: s.image, spec: baseSpec(s.image)}
		for _, kind := range joined {
			join(s.spec, kind, path(kind))
		}
		if slices.Contains(joined, "uts") {
			s.spec.Hostname = "renamed"
		}
		r := s.report()
		for kind, name := range kinds {
			of, err := os.Readlink(path(kind))
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Namespaces[name] == of; got != slices.Contains(joined, kind) {
				t.Errorf("joining %v: the %s namespace is %s, that to join is %s", joined, kind, r.Namespaces[name], of)
			}
		}
		if here, _ := os.Hostname(); here == "renamed" {
			t.Fatal("the host was renamed")
		}
	}
}

// Who joins a pid namespace is seen there, and sees who is there.
func TestJoinPID(t *testing.T) {
	s := newStage(t)
	for name, how := range starters {
		inner := s.start(op("wait"))
		inner.line()
		joiner := &stage{t: t, r: s.r, image: s.image, spec: baseSpec(s.image)}
		join(joiner.spec, "pid", nsPath(inner.Pid(), "pid"))
		joiner.spec.Process.Args = ops(op("report"), op("wait"))
		c := joiner.launch(joiner.options(s.id()), how)
		if name == "Create" {
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		r := parseReport(t, c.line())
		if r.Pid == 1 || r.Ppid != 0 {
			t.Errorf("%s: pid %d, parent %d", name, r.Pid, r.Ppid)
		}
		c.line()
		out, _ := inner.inside(t, &ExecOptions{Process: command(op("cat", fmt.Sprintf("/proc/%d/comm", r.Pid)))})
		if out != "probe" {
			t.Errorf("%s: seen from inside it is %q", name, out)
		}
		if pids, err := c.Pids(); err != nil || !slices.Equal(pids, []int{c.Pid()}) {
			t.Errorf("%s: %v, %v, pid %d", name, pids, err, c.Pid())
		}
		// The end of the namespace's first process is its end; that waits
		// for it to be reaped.
		if err := inner.Kill(unix.SIGKILL, false); err != nil {
			t.Fatal(err)
		}
		if exit, err := c.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 137 {
			t.Errorf("%s: %v, %v", name, exit, err)
		}
		if exit, err := inner.Wait(testkit.Soon(t)); err != nil || exit.ExitCode() != 137 {
			t.Errorf("%s: %v, %v", name, exit, err)
		}
	}
}

// A server's localhost is that of who joins its network namespace.
func TestJoinNetwork(t *testing.T) {
	s := newStage(t)
	server := s.start(op("listen", "127.0.0.1:80", "hello"), op("wait"))
	server.line()
	client := &stage{t: t, r: s.r, image: s.image, spec: baseSpec(s.image)}
	client.expect("connect 127.0.0.1:80", "ECONNREFUSED")
	// By descriptor, as a pod hands it over.
	f, err := os.Open(nsPath(server.Pid(), "net"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	join(client.spec, "network", "/proc/self/fd/"+strconv.Itoa(int(f.Fd())))
	client.expect("connect 127.0.0.1:80", "hello")
}

// inUser gives the stage's containers a user namespace.
func (s *stage) inUser() {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.spec.Linux.UIDMappings, s.spec.Linux.GIDMappings = ids, ids
	s.spec.Linux.Namespaces = append(s.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	s.own()
}

// own gives the image to the root of inUser's containers.
func (s *stage) own() {
	s.t.Helper()
	if err := exec.Command("chown", "-R", "100000:100000", s.image).Run(); err != nil {
		s.t.Fatal(err)
	}
}

// withoutShared leaves out the mounts that a user namespace may not make for
// namespaces that are not its own.
func (s *stage) withoutShared(types ...string) {
	s.spec.Mounts = slices.DeleteFunc(s.spec.Mounts, func(m specs.Mount) bool { return slices.Contains(types, m.Type) })
}

func TestUserNamespace(t *testing.T) {
	s := newStage(t)
	s.inUser()
	for name, how := range starters {
		s.spec.Process.Args = ops(op("report"), op("stat", "/bin"), op("stat", "/dev/null"), op("write", "/dev/null", "x"),
			op("create", "/tmp/file", "x"), op("stat", "/dev/ptmx"), op("wait"))
		c := s.launch(s.options(s.id()), how)
		if name == "Create" {
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		r := parseReport(t, c.line())
		if r.UID != 0 || r.GID != 0 || r.UIDMap != "0 100000 65536" || r.Host != "box" || r.Status["CapEff"] != "0000000020000420" {
			t.Errorf("%s: %+v", name, r)
		}
		for i, want := range []string{"dir 0755 0:0 0:0", "char 0666 65534:65534 1:3", "ok", "ok", "link 0777 0:0 0:0"} {
			if got := c.line(); got != want {
				t.Errorf("%s: line %d: %q, want %q", name, i, got, want)
			}
		}
		if got := content(t, fmt.Sprintf("/proc/%d/uid_map", c.Pid())); strings.Join(strings.Fields(got), " ") != "0 100000 65536" {
			t.Errorf("%s: map %q", name, got)
		}
		// Exec becomes root of the same namespace.
		out, _ := c.inside(t, &ExecOptions{Process: command(op("report"))})
		if inside := parseReport(t, out); inside.UID != 0 || inside.Namespaces["user"] != r.Namespaces["user"] || inside.Host != "box" {
			t.Errorf("%s: exec: %+v", name, inside)
		}
		if err := c.Delete(testkit.Soon(t), true); err != nil {
			t.Fatal(err)
		}
	}
}

// A new user namespace with a joined network namespace, which is the host's.
func TestUserNamespaceJoinsNetwork(t *testing.T) {
	s := newStage(t)
	s.inUser()
	pid := holder(t, syscall.CLONE_NEWNET, false)
	join(s.spec, "network", nsPath(pid, "net"))
	s.withoutShared("sysfs")
	s.spec.Linux.MaskedPaths = s.spec.Linux.MaskedPaths[:3]
	s.spec.Linux.ReadonlyPaths = nil
	s.withoutShared("cgroup")
	r := s.report()
	want, _ := os.Readlink(nsPath(pid, "net"))
	if r.Namespaces["net"] != want || r.UIDMap != "0 100000 65536" || r.Pid != 1 {
		t.Errorf("%+v", r)
	}
}

// A user namespace is joined by path: with a network namespace of its own, with
// the host's, and together with a pid namespace.
func TestJoinUser(t *testing.T) {
	s := newStage(t)
	s.inUser()
	s.withoutShared("sysfs", "cgroup")
	s.spec.Linux.UIDMappings, s.spec.Linux.GIDMappings = nil, nil
	own := holder(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET|syscall.CLONE_NEWIPC, true)
	foreign := holder(t, syscall.CLONE_NEWNET, false)
	join(s.spec, "user", nsPath(own, "user"))
	for _, net := range []int{0, own, foreign} {
		if net != 0 {
			join(s.spec, "network", nsPath(net, "net"))
			join(s.spec, "ipc", nsPath(own, "ipc"))
		}
		s.spec.Process.Args = ops(op("report"), op("wait"))
		c := s.launch(s.options(s.id()), (*Runtime).Run)
		r := parseReport(t, c.line())
		user, _ := os.Readlink(nsPath(own, "user"))
		if r.Namespaces["user"] != user || r.UID != 0 || r.Pid != 1 {
			t.Errorf("%d: %+v", net, r)
		}
		if want, _ := os.Readlink(nsPath(net, "net")); net != 0 && r.Namespaces["net"] != want {
			t.Errorf("the network namespace is %s, want %s", r.Namespaces["net"], want)
		}
		if out, _ := c.inside(t, &ExecOptions{Process: command(op("report"))}); parseReport(t, out).Namespaces["net"] != r.Namespaces["net"] {
			t.Errorf("%d: exec: %s", net, out)
		}
	}
}
