package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// volume makes a directory beside the image, with a file in it.
func (s *stage) volume(name string) string {
	dir := filepath.Join(filepath.Dir(s.image), name)
	write(s.t, dir+"/file", "from "+name)
	return dir
}

func (s *stage) mount(m specs.Mount) { s.spec.Mounts = append(s.spec.Mounts, m) }

// has tells whether a comma-separated list has all of the words.
func has(list string, words ...string) bool {
	for _, w := range words {
		if !slices.Contains(strings.Split(list, ","), w) {
			return false
		}
	}
	return true
}

// Each file system of a usual container is there with its options.
func TestFileSystems(t *testing.T) {
	s := newStage(t)
	s.mount(specs.Mount{Destination: "/made/on/the/way", Type: "tmpfs", Options: []string{"size=1m", "noatime", "ro"}})
	r := s.report()
	for dir, want := range map[string]struct {
		kind  string
		words []string // of the mount's options
		super []string
	}{
		"/proc":            {"proc", []string{"rw"}, nil},
		"/dev":             {"tmpfs", []string{"rw", "nosuid"}, []string{"mode=755", "size=65536k"}},
		"/dev/pts":         {"devpts", []string{"rw", "nosuid", "noexec"}, []string{"gid=5", "mode=620", "ptmxmode=666"}},
		"/dev/shm":         {"tmpfs", []string{"rw", "nosuid", "nodev", "noexec"}, []string{"size=65536k"}},
		"/dev/mqueue":      {"mqueue", []string{"rw", "nosuid", "nodev", "noexec"}, nil},
		"/sys":             {"sysfs", []string{"ro", "nosuid", "nodev", "noexec"}, nil},
		"/made/on/the/way": {"tmpfs", []string{"ro", "noatime"}, []string{"size=1024k"}},
		"/proc/sys":        {"proc", []string{"ro"}, nil},
	} {
		options, kind, super, _ := r.Mount(dir)
		if kind != want.kind || !has(options, want.words...) || !has(super, want.super...) {
			t.Errorf("%s: %s %s; %s", dir, kind, options, super)
		}
	}
	for _, line := range r.Mounts {
		if strings.Contains(line, " shared:") {
			t.Errorf("shared with the host: %s", line)
		}
		if strings.Contains(line, "/dev/vda") && strings.Fields(line)[4] == "/old" {
			t.Error(line)
		}
	}
	if first := strings.Fields(r.Mounts[0]); first[4] != "/" {
		t.Errorf("the first mount is %v", first)
	}
}

func TestBinds(t *testing.T) {
	s := newStage(t)
	dir := s.volume("volume")
	file := dir + "/file"
	for target, m := range map[string]specs.Mount{
		"/rw":       {Type: "bind", Source: dir, Options: []string{"rw"}},
		"/ro":       {Type: "bind", Source: dir, Options: []string{"ro", "nosuid", "nodev", "noexec"}},
		"/plain":    {Source: dir, Options: []string{"rbind"}},
		"/relative": {Type: "none", Source: "volume", Options: []string{"bind"}},
		"/one/file": {Type: "bind", Source: file, Options: []string{"ro"}},
	} {
		m.Destination = target
		s.mount(m)
	}
	got := s.run(op("cat", "/rw/file"), op("create", "/rw/new", "x"), op("create", "/ro/new", "x"), op("cat", "/plain/file"),
		op("cat", "/relative/file"), op("cat", "/one/file"), op("write", "/one/file", "x"), op("report"))
	if want := []string{"from volume", "ok", "EROFS", "from volume", "from volume", "from volume", "EROFS"}; !slices.Equal(got[:7], want) {
		t.Errorf("got %q, want %q", got[:7], want)
	}
	r := parseReport(t, got[7])
	if options, _, _, _ := r.Mount("/ro"); !has(options, "ro", "nosuid", "nodev", "noexec") {
		t.Errorf("/ro: %s", options)
	}
	// A bind gets exactly what it asks for.
	if options, _, _, _ := r.Mount("/rw"); !has(options, "rw") || has(options, "nosuid") || has(options, "noexec") {
		t.Errorf("/rw: %s", options)
	}
	if content(t, dir+"/new") != "x" {
		t.Error("what was written is not on the host")
	}
	if st, err := os.Stat(s.image + "/one/file"); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the target that was made: %v, %v", st, err)
	}
}

// The mounts are listed in the order of the configuration, whatever they are of.
func TestMountsInOrder(t *testing.T) {
	s := newStage(t)
	dir := s.volume("tree")
	withTree(t, dir, unix.MS_SHARED)
	for _, m := range []specs.Mount{
		{Destination: "/a", Type: "bind", Source: dir, Options: []string{"rbind", "rshared"}},
		{Destination: "/b", Type: "tmpfs"},
		{Destination: "/c", Type: "bind", Source: dir + "/below", Options: []string{"bind", "ro"}},
		{Destination: "/d", Type: "tmpfs", Options: []string{"ro"}},
		{Destination: "/d/file", Type: "bind", Source: dir + "/file"},
		{Destination: "/e", Type: "bind", Source: dir, Options: []string{"unbindable", "bind"}},
	} {
		s.mount(m)
	}
	want := []string{"/"}
	for _, m := range s.spec.Mounts {
		if m.Type != "cgroup" { // which may be many
			want = append(want, m.Destination)
		}
	}
	var got []string
	for _, line := range s.report().Mounts {
		if path := strings.Fields(line)[4]; slices.Contains(want, path) && !slices.Contains(got, path) {
			got = append(got, path)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// withTree mounts a tmpfs below dir, in a mount of its own with the propagation
// wanted, and takes all away afterwards.
func withTree(t *testing.T, dir string, propagation uintptr) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := unix.Mount("", dir, "", propagation, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/below", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("x", dir+"/below", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/below/deep", "deep")
}

func TestRecursiveBind(t *testing.T) {
	s := newStage(t)
	dir := s.volume("tree")
	withTree(t, dir, unix.MS_PRIVATE)
	s.mount(specs.Mount{Destination: "/bind", Type: "bind", Source: dir, Options: []string{"bind"}})
	s.mount(specs.Mount{Destination: "/rbind", Type: "bind", Source: dir, Options: []string{"rbind", "ro"}})
	s.mount(specs.Mount{Destination: "/rro", Type: "bind", Source: dir, Options: []string{"rbind", "rro"}})
	s.expect("cat /bind/below/deep", "ENOENT", "cat /rbind/below/deep", "deep", "create /rbind/x x", "EROFS",
		"create /rbind/below/x x", "ok", "create /rro/below/x x", "EROFS", "create /rro/x x", "EROFS", "create /bind/x x", "ok")
}

// What is mounted on the host afterwards is seen where the propagation says so,
// and what the container mounts is seen on the host only where it is shared.
func TestPropagation(t *testing.T) {
	s := newStage(t)
	dir := s.volume("tree")
	withTree(t, dir, unix.MS_SHARED)
	for _, d := range []string{"later", "inside"} {
		if err := os.Mkdir(dir+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	caps := append(s.spec.Process.Capabilities.Bounding, "CAP_SYS_ADMIN")
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	for option, want := range map[string]struct{ seenInside, seenOutside bool }{
		"": {true, false}, "private": {false, false}, "rprivate": {false, false}, "slave": {true, false}, "rslave": {true, false},
		"rshared": {true, true}, "unbindable": {false, false},
	} {
		options := []string{"rbind"}
		if option != "" {
			options = append(options, option)
		}
		m := specs.Mount{Destination: "/v", Type: "bind", Source: dir, Options: options}
		inner := &stage{t: t, r: s.r, image: s.image, spec: baseSpec(s.image)}
		inner.spec.Process.Capabilities = s.spec.Process.Capabilities
		inner.mount(m)
		c := inner.start(op("mount", "/v/inside"), op("wait"), op("report"))
		if got := c.line(); got != "ok" {
			t.Fatalf("%s: mount inside: %s", option, got)
		}
		c.line()
		if err := unix.Mount("x", dir+"/later", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		mounted := func(path string) bool { return strings.Contains(content(t, "/proc/self/mountinfo"), " "+path+" ") }
		if got := mounted(dir + "/inside"); got != want.seenOutside {
			t.Errorf("%q: the container's mount is seen on the host: %v", option, got)
		}
		if err := c.Kill(unix.SIGUSR1, false); err != nil {
			t.Fatal(err)
		}
		c.line()
		_, kind, _, _ := parseReport(t, c.line()).Mount("/v/later")
		if (kind == "tmpfs") != want.seenInside {
			t.Errorf("%q: the host's later mount is seen inside: %v", option, kind == "tmpfs")
		}
		unix.Unmount(dir+"/later", 0)
		c.finish()
		if mounted(dir + "/inside") {
			unix.Unmount(dir+"/inside", 0)
		}
	}
}

func TestRootPropagation(t *testing.T) {
	s := newStage(t)
	for propagation, want := range map[string]string{"": "master:", "private": "", "rprivate": "", "slave": "master:", "shared": "shared:", "unbindable": "unbindable"} {
		s.spec.Linux.RootfsPropagation = propagation
		_, _, _, optional := s.report().Mount("/")
		if want == "" && optional != "" || !strings.Contains(optional, want) && !(want == "master:" && optional == "") {
			t.Errorf("%q: %q", propagation, optional)
		}
	}
	s.spec.Linux.RootfsPropagation = "sideways"
	if _, err := s.r.Run(testkit.Soon(t), s.id(), s.options("x")); err == nil || !strings.Contains(err.Error(), `linux.rootfsPropagation "sideways"`) {
		t.Error(err)
	}
}

// A read-only tmpfs takes the mounts inside of it that follow.
func TestReadonlyTmpfs(t *testing.T) {
	s := newStage(t)
	dir := s.volume("volume")
	s.mount(specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "mode=755"}})
	s.mount(specs.Mount{Destination: "/run/v", Type: "bind", Source: dir})
	s.mount(specs.Mount{Destination: "/run/file", Type: "bind", Source: dir + "/file"})
	s.expect("ls /run", "file v", "cat /run/v/file", "from volume", "cat /run/file", "from volume", "create /run/x x", "EROFS")
}

func TestReadonlyRoot(t *testing.T) {
	s := newStage(t)
	dir := s.volume("volume")
	s.spec.Root.Readonly = true
	s.mount(specs.Mount{Destination: "/v", Type: "bind", Source: dir}) // its target is made before
	s.expect("create /x x", "EROFS", "create /tmp/x x", "EROFS", "create /v/x x", "ok", "create /dev/shm/x x", "ok", "mkdir /etc/x", "EROFS")
}

// The mounts with a target that is there already need no writable image.
func TestMaskedAndReadonly(t *testing.T) {
	s := newStage(t)
	write(t, s.image+"/secret/key", "secret")
	write(t, s.image+"/secret.txt", "secret")
	if err := os.Symlink("/secret.txt", s.image+"/link"); err != nil {
		t.Fatal(err)
	}
	write(t, s.image+"/fixed/file", "fixed")
	s.spec.Linux.MaskedPaths = append(s.spec.Linux.MaskedPaths, "/secret", "/secret.txt", "/not/there")
	s.spec.Linux.ReadonlyPaths = append(s.spec.Linux.ReadonlyPaths, "/fixed", "/not/there")
	s.expect("ls /secret", "", "create /secret/x x", "EROFS", "cat /secret.txt", "", "cat /link", "",
		"write /fixed/file x", "EROFS", "cat /fixed/file", "fixed", "cat /proc/timer_list", "",
		"write /proc/sys/kernel/domainname x", "EROFS", "ls /sys/firmware", "",
		"ls /not", "ENOENT")
	if content(t, s.image+"/secret/key") != "secret" {
		t.Error("the image was changed")
	}
}

func TestDevices(t *testing.T) {
	s := newStage(t)
	mode, user, group := os.FileMode(0o640), uint32(7), uint32(8)
	s.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &user, GID: &group},
		{Path: "/dev/sub/loop0", Type: "b", Major: 7},
		{Path: "/dev/pipe", Type: "p"},
		{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: &mode}, // instead of the default one
	}
	s.expect("stat /dev/null", "char 0666 0:0 1:3", "stat /dev/full", "char 0666 0:0 1:7", "stat /dev/random", "char 0666 0:0 1:8",
		"stat /dev/urandom", "char 0666 0:0 1:9", "stat /dev/tty", "char 0666 0:0 5:0", "stat /dev/zero", "char 0640 0:0 1:5",
		"stat /dev/fuse", "char 0640 7:8 10:229", "stat /dev/sub/loop0", "block 0666 0:0 7:0", "stat /dev/pipe", "fifo 0666 0:0 0:0",
		"link /dev/fd", "/proc/self/fd", "link /dev/stdin", "/proc/self/fd/0", "link /dev/stdout", "/proc/self/fd/1",
		"link /dev/stderr", "/proc/self/fd/2", "link /dev/ptmx", "pts/ptmx", "write /dev/null x", "ok", "write /dev/full x", "ENOSPC")
}

// The host's /dev is left as it is where it is bound.
func TestBoundDev(t *testing.T) {
	s := newStage(t)
	dev := s.volume("dev")
	s.spec.Mounts = []specs.Mount{s.spec.Mounts[0], {Destination: "/dev", Type: "bind", Source: dev, Options: []string{"rbind"}}}
	s.expect("ls /dev", "file")
	if entries, _ := os.ReadDir(dev); len(entries) != 1 {
		t.Errorf("in the host's directory: %v", entries)
	}
}

func TestSysctl(t *testing.T) {
	s := newStage(t)
	s.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmni": "1234", "net/ipv4/ip_unprivileged_port_start": "80"}
	before := content(t, "/proc/sys/kernel/shmmni")
	s.expect("cat /proc/sys/net/ipv4/ip_forward", "1", "cat /proc/sys/kernel/shmmni", "1234", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "80")
	if after := content(t, "/proc/sys/kernel/shmmni"); after != before {
		t.Errorf("the host's setting is %s now", after)
	}
}

// chroot(2) instead of pivot_root(2) shows the same.
func TestNoPivot(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Args = ops(op("ls", "/"), op("write", "/proc/sys/kernel/domainname", "x"), op("wait"))
	o := s.options(s.id())
	o.NoPivot = true
	c := s.launch(o, (*Runtime).Run)
	if got := c.line(); got != "bin dev etc proc sys tmp" {
		t.Error(got)
	}
	if got := c.line(); got != "EROFS" {
		t.Error(got)
	}
	c.line()
	if out, _ := c.inside(t, &ExecOptions{Process: command(op("ls", "/"))}); out != "bin dev etc proc sys tmp" {
		t.Errorf("exec: %s", out)
	}
}

func TestLimitsOfCgroup(t *testing.T) {
	s := newStage(t)
	memory, pids, quota, period := int64(64<<20), int64(33), int64(50000), uint64(100000)
	s.spec.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids},
		CPU: &specs.LinuxCPU{Quota: &quota, Period: &period, Cpus: "0"},
	}
	c := s.start(op("wait"))
	c.line()
	for _, want := range []struct{ controller, one, two, value string }{
		{"memory", "memory.limit_in_bytes", "memory.max", "67108864"},
		{"pids", "pids.max", "pids.max", "33"},
		{"cpuset", "cpuset.cpus", "cpuset.cpus", "0"},
		{"cpu", "cpu.cfs_quota_us", "", "50000"},
		{"cpu", "", "cpu.max", "50000 100000"},
	} {
		found := false
		for _, file := range []string{"/sys/fs/cgroup/" + want.controller + c.CgroupPath() + "/" + want.one, "/sys/fs/cgroup" + c.CgroupPath() + "/" + want.two} {
			if info, err := os.Stat(file); err == nil && !info.IsDir() {
				found = true
				if got := content(t, file); got != want.value {
					t.Errorf("%s: %s, want %s", file, got, want.value)
				}
			}
		}
		if !found && want.one != "" && want.two != "" {
			t.Errorf("%s: in no hierarchy", want.controller)
		}
	}
	// An executed process is in the same groups.
	c.exec(t, command(op("wait")))
	if list, err := c.Pids(); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	out, _ := c.inside(t, &ExecOptions{Process: command(op("cat", "/proc/self/cgroup"))})
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(strings.TrimSpace(line), ":/") {
			t.Errorf("group %s", line)
		}
	}
}

// Without a cgroup namespace the container sees its group at its place.
func TestWithoutCgroupNamespace(t *testing.T) {
	s := newStage(t)
	without(s.spec, "cgroup")
	s.spec.Process.Args = ops(op("report"), op("wait"))
	c := s.launch(s.options(s.id()), (*Runtime).Run)
	if got := parseReport(t, c.line()).Cgroup; !strings.Contains(got, ":"+c.CgroupPath()+"\n") {
		t.Error(got)
	}
	out, _ := c.inside(t, &ExecOptions{Process: command(op("report"))})
	if _, kind, _, _ := parseReport(t, out).Mount("/sys/fs/cgroup"); kind == "" {
		t.Error("nothing is mounted on /sys/fs/cgroup")
	}
}
