package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestDefaults(t *testing.T) {
	s := newStage(t)
	r := s.report()
	if r.Pid != 1 || r.Ppid != 0 || r.Sid != 1 || r.UID != 0 || r.GID != 0 || len(r.Groups) != 0 || r.Umask != 0o022 || r.Cwd != "/" {
		t.Errorf("%+v", r)
	}
	if r.Host != "box" || !slices.Equal(r.Interfaces, []string{"lo up|loopback|running"}) {
		t.Errorf("host %q, interfaces %v", r.Host, r.Interfaces)
	}
	if !slices.Equal(r.Env, []string{"PATH=/bin", "HOME=/"}) || !slices.Equal(r.Args, []string{"probe", "report"}) {
		t.Errorf("env %q, args %q", r.Env, r.Args)
	}
	const three = "0000000020000420" // AUDIT_WRITE, KILL, NET_BIND_SERVICE
	for name, want := range map[string]string{"CapInh": "0000000000000000", "CapAmb": "0000000000000000",
		"CapPrm": three, "CapEff": three, "CapBnd": three, "NoNewPrivs": "0", "Seccomp": "0"} {
		if r.Status[name] != want {
			t.Errorf("%s is %s, want %s", name, r.Status[name], want)
		}
	}
	if len(r.Files) != 3 || !strings.HasPrefix(r.Files["0"], "/dev/null") {
		t.Errorf("open files: %v", r.Files)
	}
	for _, line := range strings.Fields(r.Cgroup) {
		if _, path, _ := strings.Cut(line, ":"); !strings.HasSuffix(path, ":/") {
			t.Errorf("with a cgroup namespace the group is seen as %s", line)
		}
	}
	if !strings.Contains(r.Keyring, "_ses.") {
		t.Errorf("session keyring: %q", r.Keyring)
	}
}

func TestNamespacesAreNew(t *testing.T) {
	s := newStage(t)
	r := s.report()
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc", "cgroup"} {
		here, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if r.Namespaces[kind] == here {
			t.Errorf("the %s namespace is the host's", kind)
		}
	}
	without(s.spec, "network", "ipc", "cgroup", "pid")
	s.spec.Mounts = slices.DeleteFunc(s.spec.Mounts, func(m specs.Mount) bool { return m.Type == "sysfs" || m.Type == "cgroup" })
	r = s.report()
	for _, kind := range []string{"net", "pid", "ipc", "cgroup", "user"} {
		if here, _ := os.Readlink("/proc/self/ns/" + kind); r.Namespaces[kind] != here {
			t.Errorf("the %s namespace is not the host's", kind)
		}
	}
}

func TestUser(t *testing.T) {
	s := newStage(t)
	umask := uint32(0o077)
	s.spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 1002}, Umask: &umask}
	r := s.report()
	if r.UID != 1000 || r.GID != 1001 || fmt.Sprint(r.Groups) != "[7 1002]" || r.Umask != 0o077 {
		t.Errorf("uid %d, gid %d, groups %v, umask %#o", r.UID, r.GID, r.Groups, r.Umask)
	}
	for name, want := range map[string]string{"Uid": "1000\t1000\t1000\t1000", "Gid": "1001\t1001\t1001\t1001",
		"CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000020000420"} {
		if r.Status[name] != want {
			t.Errorf("%s is %q, want %q", name, r.Status[name], want)
		}
	}
}

// Capabilities survive the execve of a user other than root by being ambient.
func TestCapabilities(t *testing.T) {
	s := newStage(t)
	s.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	two := []string{"CAP_NET_BIND_SERVICE", "CAP_CHOWN"}
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding: append(two, "CAP_SYS_ADMIN"), Permitted: two, Effective: two, Inheritable: two, Ambient: two[:1],
	}
	r := s.report()
	for name, want := range map[string]string{
		"CapInh": "0000000000000401", "CapAmb": "0000000000000400", "CapPrm": "0000000000000400",
		"CapEff": "0000000000000400", "CapBnd": "0000000000200401",
	} {
		if r.Status[name] != want {
			t.Errorf("%s is %s, want %s", name, r.Status[name], want)
		}
	}
	s.spec.Process.Capabilities.Inheritable = two[1:]
	if got := s.report().Status["CapAmb"]; got != "0000000000000000" {
		t.Errorf("what is not inheritable is ambient: %s", got)
	}
	s.spec.Process.Capabilities = nil
	s.spec.Process.User = specs.User{}
	r = s.report()
	for _, name := range []string{"CapInh", "CapAmb", "CapPrm", "CapEff", "CapBnd"} {
		if r.Status[name] != "0000000000000000" {
			t.Errorf("without capabilities in the spec %s is %s", name, r.Status[name])
		}
	}
}

func TestNoNewPrivileges(t *testing.T) {
	s := newStage(t)
	s.spec.Process.NoNewPrivileges = true
	if r := s.report(); r.Status["NoNewPrivs"] != "1" {
		t.Errorf("NoNewPrivs is %s", r.Status["NoNewPrivs"])
	}
}

func TestLimits(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Rlimits = []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 30, Hard: 40}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}, {Type: "RLIMIT_FSIZE", Soft: 1000, Hard: 2000},
	}
	got := s.run(op("report"), op("raise", "7", "50"), op("raise", "7", "40"))
	r := parseReport(t, got[0])
	// Go's own runtime raises the soft limit of open files.
	if r.Limits["NOFILE"][1] != 40 || r.Limits["CORE"] != [2]uint64{} || r.Limits["FSIZE"] != [2]uint64{1000, 2000} {
		t.Errorf("limits: %v", r.Limits)
	}
	if got[1] != "EPERM" || got[2] != "ok" {
		t.Errorf("raising the limit: %v", got[1:])
	}
}

func TestLimitTwice(t *testing.T) {
	_, err := parseLimits([]specs.POSIXRlimit{{Type: "RLIMIT_AS"}, {Type: "RLIMIT_AS"}})
	if err == nil || err.Error() != "process.rlimits[1].type RLIMIT_AS is listed twice" {
		t.Error(err)
	}
}

// The last of two values counts, at its place.
func TestEnvironment(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Env = []string{"A=1", "PATH=/nowhere", "B=2", "A=3", "PATH=/bin", "E="}
	if r := s.report(); !slices.Equal(r.Env, []string{"B=2", "A=3", "PATH=/bin", "E=", "HOME=/"}) {
		t.Errorf("env: %q", r.Env)
	}
}

func TestWorkingDirectory(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Cwd = "/srv/deep/down"
	s.expect("stat /srv/deep/down", "dir 0755 0:0 0:0")
	if r := s.report(); r.Cwd != "/srv/deep/down" {
		t.Errorf("cwd: %s", r.Cwd)
	}
	// As another user, in a directory that only this user may enter.
	private := filepath.Join(s.image, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(private, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	s.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	for _, cwd := range []string{"/private", "/srv/new"} {
		s.spec.Process.Cwd = cwd
		if r := s.report(); r.Cwd != cwd {
			t.Errorf("cwd: %s, want %s", r.Cwd, cwd)
		}
	}
	// Links stay inside.
	s.spec.Process.User = specs.User{}
	if err := os.Symlink("/", filepath.Join(s.image, "up")); err != nil {
		t.Fatal(err)
	}
	s.spec.Process.Cwd = "/up/up/made"
	if r := s.report(); r.Cwd != "/made" {
		t.Errorf("cwd: %s", r.Cwd)
	}
}

// PATH is searched as execvp(3) does it.
func TestPathSearch(t *testing.T) {
	s := newStage(t)
	write(t, s.image+"/denied/probe", "not executable")
	if err := os.Mkdir(s.image+"/tmp/probe", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/none:/bin", "/denied:/bin", "/tmp:/bin", "/denied/probe:/bin", "bin", "bin/", ":/none"} {
		s.spec.Process.Env = []string{"PATH=" + path}
		if path[0] == ':' {
			s.spec.Process.Cwd = "/bin"
		}
		s.expect("echo "+path, path)
	}
	s.spec.Process.Env, s.spec.Process.Cwd = nil, "/bin" // /bin is in the default PATH
	s.expect("echo default", "default")
	s.spec.Process.Args = []string{"./probe", "echo", "relative"}
	if out, _ := s.launch(s.options(s.id()), (*Runtime).Run).finish(); out != "relative" {
		t.Errorf("./probe: %q", out)
	}
}

func TestExitStatus(t *testing.T) {
	s := newStage(t)
	if _, status := s.start(op("exit", "7")).finish(); status != (ExitStatus{Code: 7}) || status.ExitCode() != 7 {
		t.Error(status)
	}
	c := s.start(op("wait"))
	if got := c.line(); got != "ready" {
		t.Fatal(got)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if _, status := c.finish(); status != (ExitStatus{Signal: unix.SIGKILL}) || status.ExitCode() != 137 {
		t.Error(status)
	}
	without(s.spec, "pid") // the first of a pid namespace does not die of its own signals
	if _, status := s.start(op("die", "15")).finish(); status.Signal != unix.SIGTERM || status.String() != "signal 15 (SIGTERM)" {
		t.Error(status)
	}
}

func TestStandardStreams(t *testing.T) {
	s := newStage(t)
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.WriteString("from the host"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	errOut, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer errOut.Close()
	s.spec.Process.Args = ops(op("copy"), op("stderr", "apart"))
	o := s.options(s.id())
	o.Stdin, o.Stderr = in, errOut
	out, _ := s.launch(o, (*Runtime).Run).finish()
	if !strings.HasPrefix(out, "from the host") || content(t, errOut.Name()) != "apart" {
		t.Errorf("output %q, errors %q", out, content(t, errOut.Name()))
	}
}

// Pipes are handed over to the container's user; files and devices are not.
func TestStandardStreamsOfUser(t *testing.T) {
	s := newStage(t)
	before := null(t)
	s.spec.Process.User = specs.User{UID: 1234, GID: 1234}
	in, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s.spec.Process.Args = ops(op("create", "/dev/stdout", "reopened"))
	o := s.options(s.id())
	o.Stdin = in
	if out, _ := s.launch(o, (*Runtime).Run).finish(); !strings.HasPrefix(out, "reopened") {
		t.Errorf("opening its own standard output: %q", out)
	}
	if after := null(t); after != before {
		t.Errorf("/dev/null was changed: %+v, before %+v", after, before)
	}
}

// Exactly the given descriptors are open, and at their places.
func TestExtraFiles(t *testing.T) {
	s := newStage(t)
	var extra []*os.File
	for i := range 3 {
		name := filepath.Join(s.image, fmt.Sprint("extra", i))
		write(t, name, fmt.Sprint("content ", i))
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		extra = append(extra, f)
	}
	// One that is open here, and inheritable, is not passed on.
	secret, err := unix.Open("/etc/hostname", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(secret)
	extra[0], extra[2] = extra[2], extra[0]
	s.spec.Process.Args = ops(op("readfd", "3"), op("readfd", "5"), op("report"))
	for name, how := range starters {
		for _, f := range extra {
			f.Seek(0, 0)
		}
		o := s.options(s.id())
		o.ExtraFiles = extra
		c := s.launch(o, how)
		if name == "Create" {
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := c.finish()
		lines := strings.Split(out, "\n")
		if len(lines) != 3 || lines[0] != "content 2" || lines[1] != "content 0" {
			t.Fatalf("%s: %q", name, out)
		}
		if r := parseReport(t, lines[2]); len(r.Files) != 6 || !strings.HasSuffix(r.Files["4"], "extra1") {
			t.Errorf("%s: open files: %v", name, r.Files)
		}
	}
}

func TestOOMScoreAdj(t *testing.T) {
	s := newStage(t)
	adj := 321
	s.spec.Process.OOMScoreAdj = &adj
	if r := s.report(); r.OOMScoreAdj != "321" {
		t.Errorf("oom_score_adj is %s", r.OOMScoreAdj)
	}
}

func TestDomainname(t *testing.T) {
	s := newStage(t)
	s.spec.Domainname = "example.org"
	s.spec.Hostname = strings.Repeat("h", 64)
	here, _ := os.Hostname()
	if r := s.report(); r.Domain != "example.org" || r.Host != s.spec.Hostname {
		t.Errorf("host %q, domain %q", r.Host, r.Domain)
	}
	if now, _ := os.Hostname(); now != here {
		t.Errorf("the host is called %s now", now)
	}
}
