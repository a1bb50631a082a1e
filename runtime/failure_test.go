package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// Whatever step fails, the error says which and why, and nothing is left.
func TestFailures(t *testing.T) {
	testkit.NeedRoot(t)
	caps := func(names ...string) *specs.LinuxCapabilities {
		return &specs.LinuxCapabilities{Bounding: names, Permitted: names, Inheritable: names}
	}
	limit := int64(1)
	for name, test := range map[string]struct {
		change func(s *stage)
		text   string
		errno  error
	}{
		"no image":            {func(s *stage) { s.spec.Root.Path = "/no/image" }, "root.path: stat /no/image", unix.ENOENT},
		"image is a file":     {func(s *stage) { s.spec.Root.Path = s.image + "/bin/probe" }, "is not a directory", nil},
		"no source":           {func(s *stage) { s.mount(specs.Mount{Destination: "/v", Type: "bind", Source: "/no/source"}) }, "mounts: /v: source: stat /no/source", unix.ENOENT},
		"unknown file system": {func(s *stage) { s.mount(specs.Mount{Destination: "/v", Type: "nofs"}) }, "mount nofs on /v (fsopen)", unix.ENODEV},
		"unknown option": {func(s *stage) {
			s.mount(specs.Mount{Destination: "/v", Type: "tmpfs", Options: []string{"nonsense=1"}})
		}, "mount tmpfs on /v with option nonsense=1", unix.EINVAL},
		"bad value":           {func(s *stage) { s.mount(specs.Mount{Destination: "/v", Type: "tmpfs", Options: []string{"size=many"}}) }, "with option size=many", unix.EINVAL},
		"target below a file": {func(s *stage) { s.mount(specs.Mount{Destination: "/bin/probe/x", Type: "tmpfs"}) }, "/bin/probe/x", unix.ENOTDIR},
		"directory on a file": {func(s *stage) { s.mount(specs.Mount{Destination: "/bin/probe", Type: "tmpfs"}) }, "mount tmpfs on /bin/probe (move_mount)", unix.EINVAL},
		"file on a directory": {func(s *stage) {
			s.mount(specs.Mount{Destination: "/etc", Type: "bind", Source: s.volume("v") + "/file"})
		}, "/file on /etc (move_mount)", unix.EINVAL},
		"device in a file": {func(s *stage) { s.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/bin/probe/x", Type: "c"}} }, "/bin/probe", nil},
		"bad sysctl value": {func(s *stage) { s.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "many"} }, "set /proc/sys/net/ipv4/ip_forward to many", unix.EINVAL},
		"unknown sysctl":   {func(s *stage) { s.spec.Linux.Sysctl = map[string]string{"net.nonsense": "1"} }, "open /proc/sys/net/nonsense", unix.ENOENT},
		"unmapped user":    {func(s *stage) { s.inUser(); s.spec.Process.User.UID = 70000 }, "become user 70000", unix.EINVAL},
		"unmapped group":   {func(s *stage) { s.inUser(); s.spec.Process.User.AdditionalGids = []uint32{70000} }, "set the additional groups", unix.EINVAL},
		"bad map": {func(s *stage) {
			s.inUser()
			s.spec.Linux.UIDMappings = append(s.spec.Linux.UIDMappings, s.spec.Linux.UIDMappings...)
		}, "", unix.EINVAL},
		"cwd is a file":        {func(s *stage) { s.spec.Process.Cwd = "/bin/probe" }, "change directory to /bin/probe", unix.ENOTDIR},
		"cwd below a file":     {func(s *stage) { s.spec.Process.Cwd = "/bin/probe/x" }, "/bin/probe/x", unix.ENOTDIR},
		"cwd on read-only":     {func(s *stage) { s.spec.Root.Readonly = true; s.spec.Process.Cwd = "/none" }, "make the working directory /none", unix.EROFS},
		"cwd not for the user": {func(s *stage) { s.spec.Process.User.UID = 1000; s.private() }, "change directory to /private", unix.EACCES},
		"limit raised": {func(s *stage) {
			s.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40}}
		}, "set RLIMIT_NOFILE", unix.EPERM},
		"not bounded":         {func(s *stage) { c := caps("CAP_CHOWN"); c.Bounding = nil; s.spec.Process.Capabilities = c }, "set the capabilities", unix.EPERM},
		"long host name":      {func(s *stage) { s.spec.Hostname = strings.Repeat("x", 65) }, "set the host name", unix.EINVAL},
		"bad oom score":       {func(s *stage) { n := 5000; s.spec.Process.OOMScoreAdj = &n }, "process.oomScoreAdj 5000", unix.EINVAL},
		"bad cgroup":          {func(s *stage) { s.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "9999"}} }, "", nil},
		"no namespace":        {func(s *stage) { join(s.spec, "network", "/no/namespace") }, "linux.namespaces[5].path", unix.ENOENT},
		"another's namespace": {func(s *stage) { join(s.spec, "network", "/proc/self/ns/uts") }, "linux.namespaces[5].path", nil},
		"no loader":           {func(s *stage) { s.spec.Process.Args = []string{"/etc"} }, "exec", unix.EACCES},
		"no room for processes": {func(s *stage) {
			s.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
			join(s.spec, "mount", "/proc/self/ns/mnt")
			s.spec.Mounts, s.spec.Linux.MaskedPaths, s.spec.Linux.ReadonlyPaths = nil, nil, nil
			s.spec.Process.Cwd = "/"
		}, "", nil},
		"pid file nowhere": {func(s *stage) {}, "", unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			for how, start := range starters {
				s := newStage(t)
				s.spec.Process.Args = []string{"/etc"} // is refused last, should all else succeed
				test.change(s)
				before := hostMounts(t)
				id := s.id()
				o := s.options(id)
				o.PidFile = filepath.Join(filepath.Dir(s.image), "pid")
				if name == "pid file nowhere" {
					o.PidFile = "/no/such/directory/pid"
				}
				c, err := start(s.r, testkit.Soon(t), id, o)
				if err == nil && how == "Create" {
					err = c.Start(testkit.Soon(t))
					if errDelete := c.Delete(testkit.Soon(t), true); errDelete != nil {
						t.Error(errDelete)
					}
					// The FIFO tells less than the parent's own socket.
					if !errors.Is(err, test.errno) && test.errno != nil {
						t.Errorf("%s: errors.Is(%v, %v) is false", how, err, test.errno)
					}
					os.Remove(o.PidFile)
				} else if err == nil {
					t.Errorf("%s: no error", how)
				} else {
					if !strings.Contains(err.Error(), test.text) || test.errno != nil && !errors.Is(err, test.errno) {
						t.Errorf("%s: %v; want %q, %v", how, err, test.text, test.errno)
					}
					if !strings.Contains(err.Error(), id) {
						t.Errorf("%s: no id in %v", how, err)
					}
				}
				if _, err := os.Stat(o.PidFile); err == nil {
					t.Errorf("%s: the pid file is left", how)
				}
				if after := hostMounts(t); after != before {
					t.Errorf("%s: mounts changed:\n%s", how, after)
				}
				s.empty()
			}
		})
	}
}

// private makes a working directory that only root may enter.
func (s *stage) private() {
	if err := os.Mkdir(s.image+"/private", 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.spec.Process.Cwd = "/private/inside"
	if err := os.Mkdir(s.image+"/private/inside", 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.spec.Process.Capabilities = nil
	caps := []string{"CAP_CHOWN"}
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps}
	s.inUser() // where root may not either, whose directory it is not
	if err := os.Chown(s.image+"/private", 0, 0); err != nil {
		s.t.Fatal(err)
	}
}

// The caller's patience ends a creation at any moment, and nothing is left.
func TestCancelled(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Args = ops(op("wait"))
	pid := s.start(op("wait"))
	pid.line()
	for i := range 60 {
		inner := &stage{t: t, r: s.r, image: s.image, spec: baseSpec(s.image)}
		inner.spec.Process.Args = ops(op("wait"))
		if i%2 == 1 {
			join(inner.spec, "pid", nsPath(pid.Pid(), "pid"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*100*time.Microsecond)
		id := s.id()
		c, err := s.r.Run(ctx, id, inner.options(id))
		cancel()
		if err == nil {
			go c.Wait(context.Background())
			if err := c.Delete(testkit.Soon(t), true); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d00 µs: %v", i, err)
		}
		if _, err := s.r.Load(id); !errors.Is(err, ErrNotExist) {
			t.Errorf("after %d00 µs: %v", i, err)
		}
	}
	if err := pid.Delete(testkit.Soon(t), true); err != nil {
		t.Fatal(err)
	}
	s.empty()
}
