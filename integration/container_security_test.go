package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sum identifies a file of the host that nothing may change.
func sum(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Rdev)
}

// An image whose command, interpreter, working directory or hook is
// /proc/self/exe or one of the set-up's descriptors reaches neither peapod's
// binary nor the host (CVE-2019-5736, CVE-2024-21626).
func TestBinaryIsOutOfReach(t *testing.T) {
	before, null := sum(t, binary), sum(t, "/dev/null")
	// The container becomes what executed it: the set-up's program at most,
	// which is sealed and holds nothing.
	for _, command := range []string{"/proc/self/exe", "/link", "/script"} {
		bundle := newBundle(t, func(s *specs.Spec) {
			s.Root.Readonly = false
			os.Symlink("/proc/self/exe", s.Root.Path+"/link")
			os.WriteFile(s.Root.Path+"/script", []byte("#!/proc/self/exe\n"), 0o755)
			s.Process.Args = []string{command}
		})
		r := peapod(t, "run", "-b", bundle, newName(t))
		if r.code == 0 || strings.Contains(r.stdout+r.stderr, "Usage") {
			t.Errorf("%s: %d %q %q", command, r.code, r.stdout, r.stderr)
		}
	}
	id, _ := waiting(t, func(s *specs.Spec) {
		s.Root.Readonly = false
		caps := []string{"CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	})
	for i := range 3 { // what an exec leaves is looked for by its neighbours
		out := peapod(t, "exec", id, "probe", "write", "/proc/1/exe", "x", ";", "write", fmt.Sprintf("/proc/%d/exe", i+2), "x").ok()
		if strings.Contains(out, "ok") {
			t.Errorf("written: %q", out)
		}
	}
	if after := sum(t, binary); after != before {
		t.Errorf("the binary is %s, before %s", after, before)
	}
	if after := sum(t, "/dev/null"); after != null {
		t.Errorf("/dev/null is %s, before %s", after, null)
	}
}

// While an image's directory is swapped with a link to the host's, no mount
// lands outside (CVE-2021-30465), nor does a mask or a read-only path.
func TestMountRace(t *testing.T) {
	host := hostDir(t, "host's")
	volume := hostDir(t, "volume's")
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Root.Readonly = false
		os.Mkdir(s.Root.Path+"/a", 0o755)
		os.Symlink(host, s.Root.Path+"/b")
		s.Mounts = append(s.Mounts,
			specs.Mount{Destination: "/a/sub", Source: volume, Options: []string{"bind"}},
			specs.Mount{Destination: "/a/x/y", Type: "tmpfs", Options: []string{"tmpcopyup"}},
			specs.Mount{Destination: "/a/file", Source: volume + "/file", Options: []string{"bind"}})
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/a/sub")
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/a")
	}, "exit", "0")
	root := decode[specs.Spec](t, readFile(t, bundle+"/config.json")).Root.Path
	ctx, stop := context.WithCancel(t.Context())
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for ctx.Err() == nil {
			unix.Renameat2(unix.AT_FDCWD, root+"/a", unix.AT_FDCWD, root+"/b", unix.RENAME_EXCHANGE)
		}
	})
	for range 8 {
		peapod(t, "run", "-b", bundle, newName(t)) // it may fail, but only inside
	}
	stop()
	swapping.Wait()
	entries, _ := os.ReadDir(host)
	mounts := readFile(t, "/proc/self/mountinfo")
	if len(entries) != 1 || strings.Contains(mounts, " "+host) {
		t.Errorf("on the host: %v", entries)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Links at the paths that the set-up itself uses lead it nowhere else
// (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881): the host's files stay as
// they are, and the container's masks and settings are where they should be.
func TestLinksAtSystemPaths(t *testing.T) {
	host := hostDir(t, "host's")
	core, domain := sum(t, "/proc/sys/kernel/core_pattern"), readFile(t, "/proc/sys/kernel/core_pattern")
	null := sum(t, "/dev/null")
	for name, links := range map[string]map[string]string{
		"null":    {"dev/null": host + "/file"},
		"console": {"dev/console": "/proc/sys/kernel/core_pattern", "dev/pts": host},
		"core":    {"dev/null": "/proc/sys/kernel/core_pattern", "dev/zero": "/proc/sysrq-trigger"},
		"proc":    {"proc": host, "sys": "/proc"},
		"masked":  {"secret": "/proc/sysrq-trigger", "etc": "/proc/sys"},
	} {
		for _, own := range []bool{true, false} { // a /dev of its own, or the image's
			bundle := newBundle(t, func(s *specs.Spec) {
				s.Root.Readonly = false
				if !own {
					s.Mounts = s.Mounts[:1]
				}
				for link, to := range links {
					path := filepath.Join(s.Root.Path, link)
					os.RemoveAll(path)
					if err := os.Symlink(to, path); err != nil {
						t.Fatal(err)
					}
				}
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret", "/etc/kernel")
				s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/secret")
				s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
				score := 500
				s.Process.OOMScoreAdj = &score
				s.Process.User.UID = 1000
				s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, UID: &s.Process.User.UID}}
			}, "cat", "/proc/self/oom_score_adj", ";", "write", "/proc/sys/kernel/core_pattern", "x", ";", "write", "/proc/sysrq-trigger", "b")
			r := peapod(t, "run", "-b", bundle, newName(t))
			if lines := strings.Fields(r.stdout); r.code == 0 && name != "proc" && (len(lines) != 3 || lines[0] != "500" || lines[1] == "ok" || lines[2] == "ok") {
				t.Errorf("%s, own /dev %v: %q", name, own, r.stdout)
			}
		}
		if entries, _ := os.ReadDir(host); len(entries) != 1 || readFile(t, host+"/file") != "host's" {
			t.Errorf("%s: on the host: %v", name, entries)
		}
	}
	if sum(t, "/proc/sys/kernel/core_pattern") != core || readFile(t, "/proc/sys/kernel/core_pattern") != domain || sum(t, "/dev/null") != null {
		t.Error("the host's files were changed")
	}
}

// An image's own /proc, full of plain files, takes no setting in: neither limits
// nor security labels are "written" to it.
func TestFakeProc(t *testing.T) {
	var root string
	peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) {
		root = s.Root.Path
		s.Root.Readonly = false
		s.Mounts = s.Mounts[1:] // without procfs
		score := 321
		s.Process.OOMScoreAdj = &score
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		for _, file := range []string{"self/oom_score_adj", "thread-self/attr/exec", "sys/net/ipv4/ip_forward"} {
			path := filepath.Join(root, "proc", file)
			os.MkdirAll(filepath.Dir(path), 0o755)
			os.WriteFile(path, []byte("fake"), 0o666)
		}
	}, "exit", "0"), newName(t)).ok()
	for _, file := range []string{"self/oom_score_adj", "thread-self/attr/exec", "sys/net/ipv4/ip_forward"} {
		if got := readFile(t, filepath.Join(root, "proc", file)); got != "fake" {
			t.Errorf("%s: %q was written to the image's file", file, got)
		}
	}
}

// With all capabilities but in a user namespace of its own, a container makes no
// cgroup v1 hierarchy writable, whose release_agent the host would run
// (CVE-2022-0492); without one the mounts of its own are read-only.
func TestReleaseAgent(t *testing.T) {
	const agent = "/sys/fs/cgroup/memory/release_agent"
	if _, err := os.Stat(agent); err != nil {
		t.Skip("the host has no hierarchy of cgroup v1, and so no release_agent")
	}
	inside(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		caps := []string{"CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}, "create "+agent+" /x", "EROFS")
	out := peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) {
		userNamespace(t, s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		caps := []string{"CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
		for i := range s.Mounts {
			if s.Mounts[i].Type == "cgroup" {
				s.Mounts[i].Options = nil
			}
		}
	}, "write", agent, "/x"), newName(t)).ok()
	if out == "ok" {
		t.Error("the container sets a release_agent")
	}
}

// While what is to be read-only is swapped with something else, it is read-only
// wherever it comes to lie (CVE-2026-115521): the attribute is set on what is mounted
// before that can be seen, not by path afterwards.
func TestReadonlyRace(t *testing.T) {
	volume := hostDir(t, "volume's")
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Root.Readonly = false
		for _, dir := range []string{"/a/sub", "/b/sub"} {
			os.MkdirAll(s.Root.Path+dir, 0o755)
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/a/sub", Source: volume, Options: []string{"rbind", "ro"}})
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/a/sub", "/b/sub")
	}, "cat", "/proc/self/mountinfo", ";", "create", "/a/sub/x", "x", ";", "create", "/b/sub/x", "x")
	root := decode[specs.Spec](t, readFile(t, bundle+"/config.json")).Root.Path
	ctx, stop := context.WithCancel(t.Context())
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for ctx.Err() == nil {
			unix.Renameat2(unix.AT_FDCWD, root+"/a", unix.AT_FDCWD, root+"/b", unix.RENAME_EXCHANGE)
		}
	})
	ran := 0
	for range 12 {
		r := peapod(t, "run", "-b", bundle, newName(t))
		if r.code != 0 {
			continue // a path may be missing at the moment
		}
		ran++
		for line := range strings.Lines(r.stdout) {
			f := strings.Fields(line)
			if len(f) > 5 && (strings.HasPrefix(f[4], "/a/") || strings.HasPrefix(f[4], "/b/")) && !strings.HasPrefix(f[5], "ro") {
				t.Errorf("mounted writable: %s", line)
			}
		}
	}
	stop()
	swapping.Wait()
	if entries, _ := os.ReadDir(volume); len(entries) != 1 {
		t.Errorf("in the volume: %v", entries)
	}
	if ran == 0 {
		t.Error("no container ran")
	}
}
