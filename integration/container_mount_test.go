package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// inside runs the probe's operations in a container, each in one string, and
// checks the line that each prints.
func inside(t *testing.T, change func(*specs.Spec), pairs ...string) {
	t.Helper()
	var args []string
	for i := 0; i < len(pairs); i += 2 {
		args = append(append(args, strings.Split(pairs[i], " ")...), ";")
	}
	out := strings.Split(peapod(t, "run", "-b", newBundle(t, change, args...), newName(t)).ok(), "\n")
	for i := 0; i < len(pairs); i += 2 {
		if i/2 >= len(out) || out[i/2] != pairs[i+1] {
			t.Errorf("%s: got %q, want %q", pairs[i], strings.Join(out[min(i/2, len(out)):min(i/2+1, len(out))], ""), pairs[i+1])
		}
	}
}

// reportOf runs a container that tells about itself.
func reportOf(t *testing.T, change func(*specs.Spec)) *report.Process {
	t.Helper()
	r := decode[report.Process](t, peapod(t, "run", "-b", newBundle(t, change, "report"), newName(t)).ok())
	return &r
}

// mounts adds mounts to a spec, whose root is writable.
func mounts(list ...specs.Mount) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Root.Readonly = false
		s.Mounts = append(s.Mounts, list...)
	}
}

// userNamespace gives the container a user namespace, whose root owns the
// image.
func userNamespace(t *testing.T, s *specs.Spec) {
	t.Helper()
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	chownTree(t, s.Root.Path, 100000)
}

func chownTree(t *testing.T, dir string, id int) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err == nil && filepath.Base(path) != "probe" { // which other images share
			err = os.Lchown(path, id, id)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reachable lets everybody go to a directory below /tmp.
func reachable(dir string) {
	for at := dir; at != "/" && at != "/tmp"; at = filepath.Dir(at) {
		os.Chmod(at, 0o755)
	}
}

// hostDir makes a directory with a file in it that everybody may reach.
func hostDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	reachable(dir)
	if err := os.WriteFile(dir+"/file", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMountIDMap(t *testing.T) {
	dir := hostDir(t, "x")
	os.Chown(dir+"/file", 1000, 1001)
	users, groups := []specs.LinuxIDMapping{{ContainerID: 1000, HostID: 7, Size: 1}}, []specs.LinuxIDMapping{{ContainerID: 1001, HostID: 8, Size: 1}}
	inside(t, func(s *specs.Spec) {
		mounts(
			specs.Mount{Destination: "/mapped", Source: dir, Options: []string{"bind", "idmap"}, UIDMappings: users, GIDMappings: groups},
			specs.Mount{Destination: "unasked", Source: dir, Options: []string{"rbind"}, UIDMappings: users, GIDMappings: groups},
			specs.Mount{Destination: "/plain", Source: dir, Options: []string{"bind"}},
		)(s)
	}, "stat /mapped/file", "file 0644 7:8 0:0", "stat /unasked/file", "file 0644 7:8 0:0", "stat /plain/file", "file 0644 1000:1001 0:0")

	// The container's own maps: owner 5 on disk is user 5 inside.
	os.Chown(dir+"/file", 5, 6)
	inside(t, func(s *specs.Spec) {
		userNamespace(t, s)
		mounts(specs.Mount{Destination: "/v", Source: dir, Options: []string{"rbind", "ridmap"}})(s)
	}, "stat /v/file", "file 0644 5:6 0:0")
	// Without any there is nothing to map by.
	peapod(t, "run", "-b", newBundle(t, mounts(specs.Mount{Destination: "/v", Source: dir, Options: []string{"bind", "idmap"}})), newName(t)).
		wants(1, "/v", "idmap", "there is no map")
}

// Sources are relative to the bundle, id-mapped or not; targets to the root.
func TestMountRelative(t *testing.T) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 3, Size: 10}}
	bundle := newBundle(t, mounts(
		specs.Mount{Destination: "a/b", Type: "bind", Source: "data", Options: []string{"bind"}},
		specs.Mount{Destination: "../c", Type: "bind", Source: "./data/file", Options: []string{"bind", "ro", "idmap"}, UIDMappings: ids, GIDMappings: ids},
	), "cat", "/a/b/file", ";", "stat", "/c")
	os.Mkdir(bundle+"/data", 0o755)
	os.WriteFile(bundle+"/data/file", []byte("hello"), 0o644)
	cmd := command(t, "run", "-b", bundle, newName(t))
	cmd.Dir = "/"
	if got, want := finish(t, cmd).ok(), "hello\nfile 0644 3:3 0:0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Twenty maps fit into a limit of as many descriptors, and all into an address
// space that a Go program would not start in.
func TestMountsUnderLimits(t *testing.T) {
	dir := hostDir(t, "x")
	var list []specs.Mount
	for i := range 20 {
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(1000 + i), Size: 1}}
		list = append(list, specs.Mount{Destination: fmt.Sprintf("/v/%d", i), Source: dir, Options: []string{"bind", "idmap"}, UIDMappings: ids, GIDMappings: ids})
	}
	inside(t, func(s *specs.Spec) {
		mounts(list...)(s)
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 20, Hard: 20}, {Type: "RLIMIT_AS", Soft: 1 << 30, Hard: 1 << 30}}
	}, "stat /v/0/file", "file 0644 1000:1000 0:0", "stat /v/19/file", "file 0644 1019:1019 0:0")
}

func TestMountTmpfs(t *testing.T) {
	inside(t, func(s *specs.Spec) {
		etc := filepath.Join(s.Root.Path, "etc")
		os.MkdirAll(etc+"/sub/deep", 0o700)
		os.WriteFile(etc+"/sub/file", []byte("copied"), 0o640)
		os.Chown(etc+"/sub/file", 5, 6)
		os.Symlink("sub/file", etc+"/link")
		unix.Mkfifo(etc+"/fifo", 0o600)
		os.Mkdir(s.Root.Path+"/team", 0o755)
		for _, dir := range []string{etc, s.Root.Path + "/team"} {
			os.Chown(dir, 0, 44)
			unix.Chmod(dir, 0o2751)
		}
		os.Mkdir(s.Root.Path+"/odd", 0o1741)
		os.Chmod(s.Root.Path+"/odd", 0o741)
		mounts(
			specs.Mount{Destination: "/odd", Type: "tmpfs"},
			specs.Mount{Destination: "/given", Type: "tmpfs", Options: []string{"mode=0710"}},
			specs.Mount{Destination: "/new", Type: "tmpfs"},
			specs.Mount{Destination: "/team/made/on/the/way", Type: "tmpfs"},
			specs.Mount{Destination: "/etc", Type: "tmpfs", Options: []string{"tmpcopyup", "ro", "nosuid", "size=1m"}},
			specs.Mount{Destination: "/etc/sub/deep", Type: "tmpfs"},
			specs.Mount{Destination: "/none", Type: "tmpfs", Options: []string{"tmpcopyup"}},
		)(s)
	}, "stat /odd", "dir 0741 0:0 0:0", "stat /given", "dir 0710 0:0 0:0", "stat /new", "dir 01777 0:0 0:0",
		"stat /etc", "dir 02751 0:44 0:0", "stat /etc/sub/file", "file 0640 5:6 0:0", "stat /etc/link", "link 0777 0:0 0:0", "stat /etc/fifo", "fifo 0600 0:0 0:0",
		"create /etc/x x", "EROFS", "stat /etc/sub/deep", "dir 0700 0:0 0:0", "create /etc/sub/deep/x x", "ok",
		// Directories made below one that hands its group on do so too.
		"stat /team/made/on", "dir 02755 0:44 0:0", "stat /none", "dir 01777 0:0 0:0")

	// What a container writes to a copy stays in it, also with maps.
	var etc string
	inside(t, func(s *specs.Spec) {
		etc = filepath.Join(s.Root.Path, "etc")
		os.WriteFile(etc+"/file", []byte("image"), 0o644)
		userNamespace(t, s)
		mounts(specs.Mount{Destination: "/etc", Type: "tmpfs", Options: []string{"tmpcopyup", "uid=3"}})(s)
		caps := []string{"CAP_DAC_OVERRIDE"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}, "stat /etc/file", "file 0644 0:0 0:0", "stat /etc", "dir 0755 3:0 0:0", "create /etc/file mine", "ok", "cat /etc/file", "mine")
	if data, _ := os.ReadFile(etc + "/file"); string(data) != "image" {
		t.Errorf("the image has %q", data)
	}
	full := newBundle(t, func(s *specs.Spec) {
		os.WriteFile(s.Root.Path+"/etc/big", make([]byte, 1<<20), 0o644)
		mounts(specs.Mount{Destination: "/etc", Type: "tmpfs", Options: []string{"tmpcopyup", "size=64k"}})(s)
	})
	peapod(t, "run", "-b", full, newName(t)).wants(1, "/etc", "tmpcopyup", "/etc/big", "no space left")
}

// A bind mount's source that is in the container's root is what earlier mounts
// made of it.
func TestMountFromInside(t *testing.T) {
	dir := hostDir(t, "host's")
	inside(t, func(s *specs.Spec) {
		root := s.Root.Path
		os.MkdirAll(root+"/a/b", 0o755)
		os.WriteFile(root+"/a/file", []byte("image's"), 0o644)
		mounts(
			specs.Mount{Destination: "/early", Source: root + "/a", Options: []string{"bind"}},
			specs.Mount{Destination: "/a", Source: dir, Options: []string{"bind"}},
			specs.Mount{Destination: "/late", Source: root + "/a", Options: []string{"rbind", "ro", "nosuid", "rslave"}},
			specs.Mount{Destination: "/one", Source: root + "/a/file", Options: []string{"bind"}},
		)(s)
	}, "cat /early/file", "image's", "cat /late/file", "host's", "create /late/x x", "EROFS", "cat /one", "host's")
}

// A target behind a link that dangles is made where the link says, in the root.
func TestMountThroughDanglingLink(t *testing.T) {
	dir := hostDir(t, "volume")
	inside(t, func(s *specs.Spec) {
		for link, to := range map[string]string{"v": "/not/there", "w": "../../../up/../elsewhere", "etc/hosts": "../run/hosts", "first": "second", "second": "/third"} {
			if err := os.Symlink(to, filepath.Join(s.Root.Path, link)); err != nil {
				t.Fatal(err)
			}
		}
		mounts(
			specs.Mount{Destination: "/v", Source: dir, Options: []string{"bind"}},
			specs.Mount{Destination: "/w/sub", Type: "tmpfs"},
			specs.Mount{Destination: "/etc/hosts", Source: dir + "/file", Options: []string{"bind"}},
			specs.Mount{Destination: "/first/x", Source: dir, Options: []string{"bind"}},
		)(s)
	}, "cat /not/there/file", "volume", "cat /v/file", "volume", "stat /elsewhere/sub", "dir 01777 0:0 0:0",
		"cat /run/hosts", "volume", "cat /third/x/file", "volume")
	for _, path := range []string{"/not", "/elsewhere", "/third", "/run/hosts"} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was made on the host", path)
		}
	}
}

// mountedTree mounts a tmpfs with flags, and one below it, for the test's time.
func mountedTree(t *testing.T, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	reachable(dir)
	mount := func(path string) {
		if err := unix.Mount("tmpfs", path, "tmpfs", flags, "mode=777"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	}
	mount(dir)
	if err := os.Mkdir(dir+"/below", 0o777); err != nil {
		t.Fatal(err)
	}
	mount(dir + "/below")
	return dir
}

// A bind keeps its source's flags, or has exactly those that are listed; in a
// user namespace it never loses those that the source has.
func TestMountFlags(t *testing.T) {
	dir := mountedTree(t, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
	bind := func(target string, options ...string) specs.Mount {
		return specs.Mount{Destination: target, Type: "bind", Source: dir, Options: append(options, "rbind")}
	}
	list := mounts(bind("/kept"), bind("/rw", "rw"), bind("/ro", "ro", "nodev"), bind("/rec", "rro", "rnoatime"), bind("/noatime", "nodiratime", "noatime"),
		bind("/nolinks", "rnosymfollow"))
	check := func(r *report.Process, path string, has, hasNot []string) {
		t.Helper()
		options, _, _, _ := r.Mount(path)
		words := "," + options + ","
		for _, w := range has {
			if !strings.Contains(words, ","+w+",") {
				t.Errorf("%s: %s; no %s", path, options, w)
			}
		}
		for _, w := range hasNot {
			if strings.Contains(words, ","+w+",") {
				t.Errorf("%s: %s", path, options)
			}
		}
	}
	all := []string{"nosuid", "nodev", "noexec"}
	r := reportOf(t, list)
	check(r, "/kept", append(all, "rw"), nil)
	check(r, "/rw", []string{"rw"}, all)
	check(r, "/ro", []string{"ro", "nodev"}, []string{"nosuid", "noexec"})
	check(r, "/rec", append(all, "ro", "noatime"), nil)
	check(r, "/rec/below", append(all, "ro", "noatime"), nil)
	check(r, "/kept/below", append(all, "rw"), nil)
	check(r, "/noatime", []string{"noatime", "nodiratime"}, all)
	check(r, "/noatime/below", all, []string{"noatime"})
	check(r, "/nolinks", append(all, "nosymfollow"), nil)

	r = reportOf(t, func(s *specs.Spec) { userNamespace(t, s); list(s) })
	check(r, "/kept", all, nil)
	check(r, "/rw", append(all, "rw"), nil)
	check(r, "/ro", append(all, "ro"), nil)
	for _, option := range []string{"dev", "suid", "exec", "rdev"} {
		bundle := newBundle(t, func(s *specs.Spec) {
			userNamespace(t, s)
			mounts(bind("/v", option))(s)
		})
		peapod(t, "run", "-b", bundle, newName(t)).wants(1, "/v", strings.TrimPrefix(option, "r"), "operation not permitted")
	}
}

// A source in a directory that only the host's root may enter.
func TestMountUnreadableSource(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/file", []byte("found"), 0o644)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	inside(t, func(s *specs.Spec) {
		old := s.Root.Path
		if err := os.Rename(old, root+"/image"); err != nil {
			t.Fatal(err)
		}
		s.Root.Path = root + "/image"
		userNamespace(t, s)
		mounts(specs.Mount{Destination: "/v", Source: dir, Options: []string{"bind"}})(s)
	}, "cat /v/file", "found")
}

// A mount that is there already gets other flags, and its file system other
// options.
func TestRemount(t *testing.T) {
	dir := hostDir(t, "x")
	inside(t, mounts(
		specs.Mount{Destination: "/v", Source: dir, Options: []string{"bind", "nosuid"}},
		specs.Mount{Destination: "/v", Options: []string{"bind", "remount", "ro"}},
		specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"size=4m", "sync", "dirsync", "lazytime", "iversion", "silent"}},
		specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"remount", "size=64k", "nosuid"}},
	), "create /v/x x", "EROFS", "fill /t/small 1000", "ok", "fill /t/big 100000", "ENOSPC")
	peapod(t, "run", "-b", newBundle(t, mounts(specs.Mount{Destination: "/etc", Options: []string{"remount", "ro"}})), newName(t)).
		wants(1, "/etc", "invalid argument")
}

// A read-only /dev is filled first, and all masked directories are one tmpfs.
func TestMountReadonlyDev(t *testing.T) {
	r := reportOf(t, func(s *specs.Spec) {
		for i := range s.Mounts {
			if s.Mounts[i].Destination == "/dev" {
				s.Mounts[i].Options = append(s.Mounts[i].Options, "ro")
			}
		}
		os.MkdirAll(s.Root.Path+"/secret/a", 0o755)
		os.MkdirAll(s.Root.Path+"/hidden", 0o755)
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/secret", "/hidden")
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	})
	if options, _, _, _ := r.Mount("/dev"); !strings.HasPrefix(options, "ro,") {
		t.Errorf("/dev: %s", options)
	}
	device := map[string]bool{}
	for _, line := range r.Mounts {
		if f := strings.Fields(line); f[4] == "/secret" || f[4] == "/hidden" {
			device[f[2]] = true
			if !strings.HasPrefix(f[5], "ro,") {
				t.Error(line)
			}
		}
	}
	if len(device) != 1 {
		t.Errorf("masked directories are of the file systems %v", device)
	}
}
