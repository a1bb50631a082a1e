package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/kernel"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// needDetached sees to it that an old kernel refuses the stage's container, before
// anything is made; there is nothing else to see there then.
func (s *stage) needDetached() {
	s.t.Helper()
	if kernel.CheckDetached() == nil {
		return
	}
	_, err := s.r.Run(testkit.Soon(s.t), s.id(), s.options("x"))
	var e *KernelError
	if !errors.As(err, &e) || e.Version != "6.15" || !strings.Contains(err.Error(), `add {"type": "mount"}`) {
		s.t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(s.r.Root, "containers")); err == nil {
		s.t.Error("something was made")
	}
	s.t.Skip(err)
}

// furnish gives the stage's containers a mount of each kind, all of which occupied
// looks at. dir is a volume with a file, and with a mount below it.
func (s *stage) furnish(dir string) {
	write(s.t, s.image+"/secret/key", "secret")
	write(s.t, s.image+"/secret.txt", "secret")
	write(s.t, s.image+"/fixed/file", "fixed")
	write(s.t, s.image+"/copied/file", "copied")
	for _, d := range []string{"/v", "/w", "/late", "/run", "/v/inside"} {
		os.Mkdir(s.image+d, 0o755)
	}
	s.spec.Root.Readonly = true
	s.spec.Linux.MaskedPaths = append(s.spec.Linux.MaskedPaths, "/secret", "/secret.txt", "/not/there")
	s.spec.Linux.ReadonlyPaths = append(s.spec.Linux.ReadonlyPaths, "/fixed")
	for _, m := range []specs.Mount{
		{Destination: "/v", Type: "bind", Source: dir, Options: []string{"rbind"}},
		{Destination: "/v/inside", Type: "tmpfs"},
		{Destination: "/w", Type: "bind", Source: dir, Options: []string{"bind", "rprivate"}},
		{Destination: "/w", Options: []string{"bind", "remount", "ro"}},
		{Destination: "/run", Type: "tmpfs", Options: []string{"ro", "mode=755"}},
		{Destination: "/run/file", Type: "bind", Source: dir + "/file"},
		{Destination: "/run/in", Type: "tmpfs", Options: []string{"ro", "mode=755"}},
		{Destination: "/copied", Type: "tmpfs", Options: []string{"tmpcopyup", "ro"}},
		{Destination: "/late", Type: "bind", Source: s.image + "/v", Options: []string{"rbind", "ro"}},
	} {
		s.mount(m)
	}
}

var occupied = []string{
	"cat /v/file", "from tree", "cat /v/below/deep", "deep", "create /v/inside/x x", "ok",
	"cat /w/file", "from tree", "create /w/x x", "EROFS", "create /run/x x", "EROFS", "cat /run/file", "from tree", "create /run/in/x x", "EROFS",
	"cat /copied/file", "copied", "create /copied/x x", "EROFS",
	"cat /late/below/deep", "deep", "cat /late/inside/x", "x", "create /late/x x", "EROFS",
	"ls /secret", "", "cat /secret.txt", "", "write /fixed/file x", "EROFS", "cat /proc/timer_list", "", "ls /sys/firmware", "",
	"write /proc/sys/kernel/domainname x", "EROFS",
	"create /x x", "EROFS", "create /dev/shm/x x", "ok", "stat /dev/null", "char 0666 0:0 1:3",
	"mount /tmp", "ENOENT",
}

// Without a mount namespace of its own a container has its root and its mounts, and
// the host has none of them: before, meanwhile and afterwards it has what it had.
func TestWithoutMountNamespace(t *testing.T) {
	s := newStage(t)
	without(s.spec, "mount")
	s.needDetached()
	dir := s.volume("tree")
	withTree(t, dir, unix.MS_SHARED)
	os.Mkdir(dir+"/inside", 0o755)
	s.furnish(dir)
	caps := append(s.spec.Process.Capabilities.Bounding, "CAP_SYS_ADMIN", "CAP_SYS_CHROOT")
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	own, _ := os.Readlink("/proc/self/ns/mnt")
	before := hostMounts(t)
	same := func(when string) {
		t.Helper()
		if after := hostMounts(t); after != before {
			t.Errorf("%s the host has\n%s\nbefore\n%s", when, after, before)
		}
	}
	for name, how := range starters {
		s.expect(append(occupied, "climb /dev/shm/climb", "bin copied dev etc fixed late proc run secret secret.txt sys tmp v w")...)
		s.spec.Process.Args = ops(op("report"), op("wait"))
		c := s.launch(s.options(s.id()), how)
		if name == "Create" {
			same("while it waits")
			out, _ := c.inside(t, &ExecOptions{Process: command(op("ls", "/run"), op("ls", "/v/below"))})
			if out != "file in\ndeep" {
				t.Errorf("executed before the start: %s", out)
			}
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		r := parseReport(t, c.line())
		c.line()
		same("while it runs")
		if r.Namespaces["mnt"] != own || r.Pid != 1 || r.Cwd != "/" || len(r.Files) != 3 {
			t.Errorf("%s: %+v, the host's mount namespace is %s", name, r, own)
		}
		if slices.ContainsFunc(r.Mounts, func(line string) bool { return line != "" }) {
			t.Errorf("%s: it sees the mounts %q", name, r.Mounts)
		}
		out, _ := c.inside(t, &ExecOptions{Process: command(op("cat", "/v/below/deep"), op("create", "/x", "x"), op("cwd"), op("report"))})
		lines := strings.Split(out, "\n")
		if want := []string{"deep", "EROFS", "/"}; !slices.Equal(lines[:3], want) {
			t.Errorf("%s: exec: %q", name, lines)
		}
		if e := parseReport(t, lines[3]); e.Namespaces["mnt"] != own || e.Namespaces["pid"] != r.Namespaces["pid"] || len(e.Files) != 3 {
			t.Errorf("%s: exec: %+v", name, e)
		}
		c.Kill(unix.SIGTERM, false)
		c.finish()
		same("afterwards")
	}
}

// Of no namespace at all is new: the container is in all of the caller's.
func TestWithoutNamespaces(t *testing.T) {
	s := newStage(t)
	s.spec.Linux.Namespaces, s.spec.Hostname = nil, ""
	s.needDetached()
	s.spec.Process.Args = ops(op("report"), op("wait"))
	c := s.launch(s.options(s.id()), (*Runtime).Run)
	r := parseReport(t, c.line())
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"} {
		if own, _ := os.Readlink("/proc/self/ns/" + kind); r.Namespaces[kind] != own {
			t.Errorf("%s: %s, the caller's is %s", kind, r.Namespaces[kind], own)
		}
	}
	if out, _ := c.inside(t, &ExecOptions{Process: command(op("ls", "/"))}); out != "bin dev etc proc sys tmp" {
		t.Errorf("exec: %s", out)
	}
}

// The terminal is of the container's own devpts.
func TestTerminalWithoutMountNamespace(t *testing.T) {
	s := newStage(t)
	without(s.spec, "mount")
	s.needDetached()
	s.spec.Process.Terminal = true
	s.spec.Process.Args = ops(op("report"), op("stat", "/dev/console"))
	ours, theirs := console(t)
	o := s.options(s.id())
	o.Console = theirs
	s.launch(o, (*Runtime).Run)
	m := master(t, ours)
	if r := parseReport(t, terminalLine(t, m)); !r.TTY || r.Files["0"] != "/dev/pts/0" || r.Foreground != r.Pid {
		t.Errorf("%+v", r)
	}
	if got := terminalLine(t, m); !strings.HasPrefix(got, "char 0620 0:5 136:0") {
		t.Errorf("/dev/console: %s", got)
	}
}

// Who joins a mount namespace has a root and mounts of his own there, and those that
// are in it see nothing of that.
func TestJoinMount(t *testing.T) {
	for _, user := range []bool{false, true} {
		first := newStage(t)
		if user {
			first.inUser()
		}
		first.mount(specs.Mount{Destination: "/dev/null", Type: "bind", Source: first.volume("fake") + "/file"})
		c := first.start(op("create", "/tmp/mark", "it"), op("wait"))
		if got := c.line(); got != "ok" {
			t.Fatal(got)
		}
		c.line()
		mounts := func() string {
			out, _ := c.inside(t, &ExecOptions{Process: command(op("cat", "/proc/self/mountinfo"))})
			return out
		}
		before := mounts()

		s := newStage(t)
		if user {
			s.inUser()
			join(s.spec, "user", nsPath(c.Pid(), "user"))
		}
		join(s.spec, "mount", nsPath(c.Pid(), "mnt"))
		s.needDetached()
		dir := s.volume("tree")
		withTree(t, dir, unix.MS_SHARED)
		os.Mkdir(dir+"/inside", 0o755)
		s.furnish(dir)
		if user {
			s.own()
		}
		host := hostMounts(t)
		s.spec.Process.Args = ops(op("report"), op("wait"))
		joiner := s.launch(s.options(s.id()), (*Runtime).Run)
		r := parseReport(t, joiner.line())
		joiner.line()
		if want, _ := os.Readlink(nsPath(c.Pid(), "mnt")); r.Namespaces["mnt"] != want || r.UID != 0 {
			t.Errorf("user namespace %v: mount namespace %s, want %s; user %d", user, r.Namespaces["mnt"], want, r.UID)
		}
		var list [][]string
		for i := 0; i < len(occupied)-2; i += 2 {
			list = append(list, strings.Split(occupied[i], " "))
		}
		process := command(append(list, op("ls", "/tmp"))...)
		caps := []string{"CAP_DAC_OVERRIDE"}
		process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		out, _ := joiner.inside(t, &ExecOptions{Process: process})
		for i, got := range strings.Split(out, "\n") {
			want := ""
			if i < len(list) {
				want = occupied[2*i+1]
			}
			if user && i < len(list) && (list[i][1] == "/dev/null" || strings.HasPrefix(list[i][1], "/proc/sys")) {
				continue // the host's root owns it, who has no number here
			}
			if got != want {
				t.Errorf("user namespace %v: %v: got %q, want %q", user, append(list, op("ls", "/tmp"))[i], got, want)
			}
		}
		if after := mounts(); after != before {
			t.Errorf("user namespace %v: who was there has\n%s\nbefore\n%s", user, after, before)
		}
		if after := hostMounts(t); after != host {
			t.Errorf("user namespace %v: the host has\n%s\nbefore\n%s", user, after, host)
		}
	}
}
