package cgroups_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// inside is set in a copy of the test binary that has a mount namespace of its
// own, to what the cgroup hierarchies there shall be: "v1" or "v2".
const inside = "PEAPOD_TEST_CGROUPS"

const mountPoint = "/sys/fs/cgroup"

// prefix is the first name of the groups of this run.
var prefix = "/" + testkit.Mark + "cgroups"

func TestMain(m *testing.M) {
	if err := remount(os.Getenv(inside)); err != nil {
		fmt.Fprintln(os.Stderr, "change the mounts of a private namespace:", err)
		os.Exit(1)
	}
	os.Exit(testkit.Run(m))
}

// remount makes the hierarchies so, in a private mount namespace.
func remount(mode string) error {
	switch mode {
	case "v1":
		return unix.Unmount(mountPoint+"/unified", unix.MNT_DETACH)
	case "v2":
		return unix.Mount("cgroup2", mountPoint, "cgroup2", 0, "")
	}
	return nil
}

// groups lists the directories of a group in all hierarchies. Controllers that
// are mounted together have names of their own besides, which are links.
func groups(path string) []string {
	var list []string
	for _, pattern := range []string{mountPoint, mountPoint + "/*"} {
		found, _ := filepath.Glob(pattern)
		for _, hierarchy := range found {
			info, err := os.Lstat(hierarchy)
			if err != nil || info.Mode()&fs.ModeSymlink != 0 {
				continue
			}
			if _, err := os.Stat(hierarchy + path); err == nil {
				list = append(list, hierarchy+path)
			}
		}
	}
	return list
}

// mode of the host, or of the private mount namespace.
func mode(t testing.TB) cgroups.Mode {
	t.Helper()
	m, err := cgroups.HostMode()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// has says whether a controller can be had on this host.
func has(t testing.TB, controller string) bool {
	t.Helper()
	if mode(t) != cgroups.V2 {
		table, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(table)) {
			_, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
			if f := strings.Fields(right); len(f) > 2 && f[0] == "cgroup" && strings.Contains(","+f[2]+",", ","+controller+",") {
				return true
			}
		}
	}
	return hasTwo(t, controller)
}

// hasTwo says whether v2 has a controller.
func hasTwo(t testing.TB, controller string) bool {
	t.Helper()
	text, err := os.ReadFile(two(t, "", "cgroup.controllers"))
	return err == nil && strings.Contains(" "+strings.TrimSpace(string(text))+" ", " "+controller+" ")
}

// two names a file of a group in the unified hierarchy.
func two(t testing.TB, path, file string) string {
	t.Helper()
	base := mountPoint
	if mode(t) == cgroups.Hybrid {
		base += "/unified"
	}
	return base + path + "/" + file
}

// file names a file of a group wherever its controller is.
func file(t testing.TB, controller, path, one, v2 string) string {
	t.Helper()
	if mode(t) == cgroups.V2 || hasTwo(t, controller) {
		return two(t, path, v2)
	}
	return mountPoint + "/" + controller + path + "/" + one
}

// content of a file of the kernel's.
func content(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// drop removes a group with all that is in it and checks that nothing is left.
func drop(t testing.TB, g *cgroups.Group) {
	t.Helper()
	if err := g.Kill(testkit.Soon(t)); err != nil {
		t.Error(err)
	}
	if err := g.Delete(testkit.Soon(t)); err != nil {
		t.Error(err)
	}
	if left := groups(g.Path()); len(left) > 0 {
		t.Errorf("left after Delete: %v", left)
	}
}

// start runs a shell script that is born in the group.
func start(t testing.TB, g *cgroups.Group, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	if err := born(g, cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// born starts a command in the group, the way a runtime does.
func born(g *cgroups.Group, cmd *exec.Cmd) error {
	f, _, err := g.Descriptor()
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	}
	return g.Enter(cmd.Start)
}

// output starts a script in the group, waits for it and gives what it wrote.
func output(t testing.TB, g *cgroups.Group, script string) (string, error) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	out, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := born(g, cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}

// seats reads where a process is, by hierarchy.
func seats(t testing.TB, pid int) map[string]string {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		_, rest, _ := strings.Cut(s.Text(), ":")
		names, path, _ := strings.Cut(rest, ":")
		list[names] = path
	}
	return list
}

// missing checks that a path is in no hierarchy.
func missing(t testing.TB, path string) {
	t.Helper()
	if left := groups(path); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	if _, err := cgroups.Load(path); err == nil || !isNotExist(err) {
		t.Errorf("Load(%s) gives %v", path, err)
	}
}

// contextFor is a context that ends after d.
func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func isNotExist(err error) bool { return err != nil && errors.Is(err, fs.ErrNotExist) }
