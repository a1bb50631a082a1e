package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// hostile are images that try to lead the set-up out of their root by links:
// what is replaced by a link to where. HOST is a directory of the host.
var hostile = map[string]map[string]string{
	"proc is the root":       {"proc": "/"},
	"proc is up":             {"proc": "../../../../.."},
	"proc is the host's":     {"proc": "HOST"},
	"dev is up":              {"dev": "../../../../../../tmp"},
	"dev is the host's":      {"dev": "HOST"},
	"sys is the host's":      {"sys": "HOST"},
	"sys and dev are one":    {"sys": "/etc", "dev": "/etc"},
	"the target is absolute": {"v": "HOST"},
	"the target is up":       {"v": "../../../../../../../../../../HOST"},
	"the target is a chain":  {"v": "w", "w": "x/../../HOST", "x": "/"},
	"the target dangles":     {"v": "HOST/missing"},
	"the file is a link":     {"etc/hosts": "HOST/file"},
	"the directory is":       {"etc": "HOST"},
	"magic":                  {"v": "/proc/1/root", "etc": "/proc/self/root/etc"},
	"magic descriptors":      {"v": "/proc/self/fd/5", "etc": "/proc/self/cwd"},
}

// tree lists all that is below a directory.
func tree(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			list = append(list, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// No link of an image makes the set-up mount, make or change anything outside
// of it. Whether the container starts does not matter.
func TestLinksInImage(t *testing.T) {
	s := newStage(t)
	host := s.volume("host")
	volume := s.volume("volume")
	for name, links := range hostile {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			for link, to := range links {
				path := filepath.Join(s.image, link)
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(strings.ReplaceAll(to, "HOST", host), path); err != nil {
					t.Fatal(err)
				}
			}
			s.mount(specs.Mount{Destination: "/v/sub/dir", Type: "bind", Source: volume})
			s.mount(specs.Mount{Destination: "/v", Type: "bind", Source: volume})
			s.mount(specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: volume + "/file"})
			s.mount(specs.Mount{Destination: "/etc/new/file", Type: "bind", Source: volume + "/file"})
			s.spec.Linux.MaskedPaths = append(s.spec.Linux.MaskedPaths, "/v/masked", "/etc/hosts", "/v")
			s.spec.Linux.ReadonlyPaths = append(s.spec.Linux.ReadonlyPaths, "/v", "/etc")
			s.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/v/device", Type: "p"}}
			s.spec.Process.Cwd = "/v/cwd"
			s.spec.Process.Args = ops(op("ls", host), op("wait"))
			// Targets inside of the volume are made there: so the spec says.
			before, mounts := tree(t, host), hostMounts(t)
			id := s.id()
			c, err := s.r.Run(testkit.Soon(t), id, s.options(id))
			if err == nil {
				defer c.Delete(testkit.Soon(t), true)
			}
			if after := tree(t, host); !slices.Equal(before, after) {
				t.Errorf("the host's directory changed: %v, before %v", after, before)
			}
			if after := hostMounts(t); after != mounts {
				t.Errorf("the host's mounts changed:\n%s\nbefore\n%s", after, mounts)
			}
		})
		if names, _ := os.ReadDir("/"); slices.ContainsFunc(names, func(e os.DirEntry) bool { return e.Name() == "v" || e.Name() == "sub" }) {
			t.Fatalf("%s: made something in the host's root", name)
		}
	}
}

// hostMounts are this process's mounts, but those that others come and go with.
func hostMounts(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(content(t, "/proc/self/mountinfo")) {
		if strings.Contains(line, testkit.Scratch()) || strings.Fields(line)[4] == "/" || strings.HasPrefix(strings.Fields(line)[4], "/proc") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// A link in a volume does not lead a later mount out of the root either.
func TestLinksInVolume(t *testing.T) {
	s := newStage(t)
	host, volume := s.volume("host"), s.volume("volume")
	for link, to := range map[string]string{"absolute": host, "up": "../../../../../../../.." + host, "relative": "../../host"} {
		if err := os.Symlink(to, filepath.Join(volume, link)); err != nil {
			t.Fatal(err)
		}
		s.mount(specs.Mount{Destination: "/" + link, Type: "tmpfs"})
	}
	before := tree(t, host)
	s.spec.Mounts = slices.Insert(s.spec.Mounts, len(s.spec.Mounts)-3, specs.Mount{Destination: "/v", Type: "bind", Source: volume})
	for _, link := range []string{"absolute", "up"} {
		s.mount(specs.Mount{Destination: "/v/" + link + "/new", Type: "tmpfs"})
	}
	s.spec.Process.Args = ops(op("wait"))
	id := s.id()
	if c, err := s.r.Run(testkit.Soon(t), id, s.options(id)); err == nil {
		defer c.Delete(testkit.Soon(t), true)
	}
	if after := tree(t, host); !slices.Equal(before, after) {
		t.Errorf("the host's directory changed: %v, before %v", after, before)
	}
}

// The working directory is chosen by an image: it is no way to what the set-up
// has open, nor to what lies below masked and read-only paths, nor to the host
// where the pid namespace is the host's (CVE-2024-21626).
func TestWorkingDirectoryIsInside(t *testing.T) {
	s := newStage(t)
	s.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} // makes a private procfs
	s.spec.Process.Args = ops(op("report"))
	for fd := range 120 {
		for _, cwd := range []string{fmt.Sprintf("/proc/self/fd/%d", fd), fmt.Sprintf("/proc/thread-self/fd/%d/..", fd)} {
			s.spec.Process.Cwd = cwd
			id := s.id()
			c, err := s.r.Run(testkit.Soon(t), id, s.options(id))
			if err == nil {
				t.Errorf("%s is a working directory", cwd)
				c.Delete(testkit.Soon(t), true)
			} else if !strings.Contains(err.Error(), "directory") {
				t.Fatal(err)
			}
		}
	}
	without(s.spec, "pid")
	for _, user := range []uint32{0, 1000} {
		for _, cwd := range []string{"/proc/1/root", "/proc/1/root/tmp", fmt.Sprintf("/proc/%d/cwd", os.Getpid()), "/proc/self/root/../proc/1/root", "/missing/../proc/1/root/tmp/made-by-peapod"} {
			s.spec.Process.Cwd, s.spec.Process.User.UID = cwd, user
			id := s.id()
			if c, err := s.r.Run(testkit.Soon(t), id, s.options(id)); err == nil {
				t.Errorf("%s is a working directory", cwd)
				c.Delete(testkit.Soon(t), true)
			}
		}
	}
	if _, err := os.Stat("/tmp/made-by-peapod"); err == nil {
		t.Error("a directory was made on the host")
	}
}

// The host's null device lies on masked files and is nobody's to change.
func TestNullIsNotChanged(t *testing.T) {
	s := newStage(t)
	before := null(t)
	write(t, s.image+"/masked", "x")
	if err := os.Symlink("/etc", s.image+"/dev/null"); err != nil { // in the image, not in the container's tmpfs
		t.Fatal(err)
	}
	s.spec.Linux.MaskedPaths = append(s.spec.Linux.MaskedPaths, "/masked")
	s.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	s.run(op("chown", "/masked", "1000"), op("chown", "/dev/stdin", "1000"), op("create", "/masked", "x"), op("cat", "/masked"))
	caps := []string{"CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"}
	s.spec.Process.User = specs.User{}
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps}
	s.run(op("chown", "/dev/stdin", "0"), op("cat", "/masked"))
	// A root that may change owners reaches its own device only.
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.run(op("chown", "/dev/stdin", "1234"), op("chown", "/dev/null", "1234"), op("chown", "/masked", "1234"))
	if after := null(t); after != before {
		t.Errorf("/dev/null is %+v, before %+v", after, before)
	}
}

// Nothing of this process can be reached by the set-up's: its executable is
// the program's own, and it has no more descriptors than it needs.
func TestSetupHasNothingOfParent(t *testing.T) {
	s := newStage(t)
	secret, err := unix.Open(testkit.Scratch(), unix.O_RDONLY|unix.O_DIRECTORY, 0) // inheritable
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(secret)
	c := s.create(op("report"))
	proc := "/proc/" + strconv.Itoa(c.Pid())
	if exe, err := os.Readlink(proc + "/exe"); err != nil || exe != "/memfd:peapod (deleted)" {
		t.Errorf("its executable is %s, %v", exe, err)
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fds {
		to, err := os.Readlink(proc + "/fd/" + e.Name())
		if err != nil {
			continue // it closes one while it begins to wait
		}
		if to == testkit.Scratch() {
			t.Errorf("descriptor %s is %s", e.Name(), to)
		}
		if st, err := os.Stat(proc + "/fd/" + e.Name()); err == nil && st.IsDir() {
			here, _ := os.Stat("/")
			if os.SameFile(st, here) {
				t.Errorf("descriptor %s is the host's root", e.Name())
			}
		}
	}
	if env := content(t, proc+"/environ"); env != "" {
		t.Errorf("its environment is %q", env)
	}
	if root, _ := os.Readlink(proc + "/cwd"); root != "/" {
		t.Errorf("its working directory is %s", root)
	}
}

// While a process enters a container nobody inside may trace it or use what it
// has open, though it is visible there (CVE-2016-9962).
func TestEnteringIsNotTraced(t *testing.T) {
	s := newStage(t)
	caps := []string{"CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_KILL"}
	// The same capabilities as what enters may have, but in a user namespace
	// of its own, as is the rule where the inside is not trusted.
	s.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.inUser()
	c := s.start(op("spy", "/tmp/stop"))
	c.line()
	for range 100 {
		c.inside(t, &ExecOptions{Process: command(op("echo", "x"))})
	}
	write(t, s.image+"/tmp/stop", "")
	var result struct {
		Seen int
		Open map[string]bool
	}
	line := c.line()
	if err := json.Unmarshal([]byte(line), &result); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	t.Logf("seen before their execve: %d", result.Seen)
	for name := range result.Open {
		t.Errorf("opened from inside: %s", name)
	}
}
