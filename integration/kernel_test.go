package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// needed are the system calls that containers cannot do without, and the first
// version of Linux that has them.
var needed = []struct {
	name, version string
	number        int
}{
	{"memfd_create", "3.17", unix.SYS_MEMFD_CREATE},
	{"pidfd_send_signal", "5.1", unix.SYS_PIDFD_SEND_SIGNAL},
	{"open_tree", "5.2", unix.SYS_OPEN_TREE},
	{"move_mount", "5.2", unix.SYS_MOVE_MOUNT},
	{"fsopen", "5.2", unix.SYS_FSOPEN},
	{"fsconfig", "5.2", unix.SYS_FSCONFIG},
	{"fsmount", "5.2", unix.SYS_FSMOUNT},
	{"pidfd_open", "5.3", unix.SYS_PIDFD_OPEN},
	{"clone3", "5.3", unix.SYS_CLONE3},
	{"openat2", "5.6", unix.SYS_OPENAT2},
	{"close_range", "5.9", unix.SYS_CLOSE_RANGE},
	{"mount_setattr", "5.12", unix.SYS_MOUNT_SETATTR},
}

// A kernel that lacks a system call, or a seccomp filter that hides it, is told
// from before anything is made, down to the state directory.
func TestMissingCalls(t *testing.T) {
	deny, err := testkit.Build("deny")
	if err != nil {
		t.Fatal(err)
	}
	mode, err := cgroups.HostMode()
	if err != nil {
		t.Fatal(err)
	}
	id := detached(t, nil)
	bundle := newBundle(t, nil, "echo", "hello")
	_, pod := podSpec(t, probing("echo", "hello"))
	commands := []struct {
		code int
		args []string
	}{
		{1, []string{"run", "--bundle", bundle, testkit.Mark + "missing"}},
		{1, []string{"create", "--bundle", bundle, testkit.Mark + "missing"}},
		{255, []string{"exec", id, "probe", "echo", "hello"}},
		{1, []string{"pod", "run", pod}},
		{1, []string{"pod", "run", "--detach", pod}},
	}
	// under runs a command under a filter that refuses a call, with state and
	// data directories that are not there, and wants it to fail like that.
	under := func(t *testing.T, number int, errno unix.Errno, words ...string) {
		t.Helper()
		for _, c := range commands {
			cmd := command(t, c.args...)
			cmd.Path, cmd.Args = deny, append([]string{"deny", strconv.Itoa(number), strconv.Itoa(int(errno))}, cmd.Args...)
			dir := t.TempDir()
			if c.args[0] != "exec" {
				cmd.Env = append(os.Environ(), "PEAPOD_ROOT="+filepath.Join(dir, "state"), "PEAPOD_DATA="+filepath.Join(dir, "data"))
			}
			before := testkit.Held()
			finish(t, cmd).wants(c.code, words...)
			before.Check(t)
			if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
				t.Errorf("%v: there is %v, %v", c.args, made, err)
			}
		}
	}
	for _, call := range needed {
		if call.name == "clone3" && mode == cgroups.V1 {
			continue // processes are not born in groups there
		}
		t.Run(call.name, func(t *testing.T) {
			under(t, call.number, unix.ENOSYS, call.name+" is missing, which needs Linux "+call.version, "function not implemented", "too old", "seccomp")
		})
	}
	for _, call := range needed {
		if call.name == "openat2" || call.name == "mount_setattr" {
			t.Run("forbidden "+call.name, func(t *testing.T) {
				under(t, call.number, unix.EPERM, call.name+" is forbidden by a seccomp filter", "operation not permitted")
			})
		}
	}
}

// On a kernel that is too old in fact, commands say so and make nothing.
func TestOldKernel(t *testing.T) {
	if err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{}); err != unix.ENOSYS {
		t.Skip("the kernel has all that containers need")
	}
	bundle := newBundle(t, nil, "echo", "hello")
	_, pod := podSpec(t, probing("echo", "hello"))
	for _, args := range [][]string{
		{"run", "--bundle", bundle, testkit.Mark + "old"}, {"create", "--bundle", bundle, testkit.Mark + "old"},
		{"pod", "run", pod}, {"pod", "run", "--detach", pod},
	} {
		before := testkit.Held()
		peapod(t, args...).wants(1, "mount_setattr is missing, which needs Linux 5.12", "too old")
		before.Check(t)
		if left := registered(); len(left) > 0 {
			t.Errorf("%v: left: %v", args, left)
		}
	}
}
