package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leakVariable names what a copy of this test binary is to leave behind.
const leakVariable = "PEAPOD_TEST_LEAK"

func TestMain(m *testing.M) {
	if os.Getenv(leakVariable) != "" {
		patience = 300 * time.Millisecond
	}
	os.Exit(Run(m, func() []string { return complaints }))
}

var complaints []string

// leaks are what a run must not leave, with the word that tells of it.
var leaks = map[string]struct {
	want string
	do   func() error
}{
	"nothing":    {"", func() error { return nil }},
	"descriptor": {"descriptor ", func() error { _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); return err }},
	// Garbage collection would close it: the check must not wait for that.
	"file":      {"of /dev/null", func() error { _, err := os.Open(os.DevNull); return err }},
	"pipe":      {"of pipe:", func() error { var fds [2]int; return unix.Pipe2(fds[:], unix.O_CLOEXEC) }},
	"goroutine": {"run_test.go", func() error { go func() { select {} }(); return nil }},
	"child":     {"child ", func() error { return exec.Command("sleep", "1").Start() }},
	"mount": {"mount ", func() error {
		return unix.Mount("tmpfs", Scratch(), "tmpfs", 0, "")
	}},
	"cgroup":    {"cgroup /sys/fs/cgroup", func() error { return os.Mkdir(group(os.Getpid()), 0o755) }},
	"namespace": {"thread in uts:", func() error { return elsewhere(func() error { return unix.Unshare(unix.CLONE_NEWUTS) }) }},
	"complaint": {"something else", func() error { complaints = []string{"something else"}; return nil }},
	"process":   {"with the root", func() error { return elsewhere(startInScratch) }},
}

// group is the cgroup that a process of this binary leaves.
func group(pid int) string {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified"); err == nil {
		root += "/unified"
	}
	return fmt.Sprintf("%s/test-%d-leak", root, pid)
}

// startInScratch starts a process that has a mount of Scratch as its root.
func startInScratch() error {
	if _, err := probe(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount(Scratch(), Scratch(), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	cmd := exec.Command("/probe", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: Scratch()}
	return cmd.Start()
}

// elsewhere leaves a thread that f has moved.
func elsewhere(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
		select {}
	}()
	return <-done
}

// TestLeak is what the copies run.
func TestLeak(t *testing.T) {
	if kind := os.Getenv(leakVariable); kind != "" {
		if err := leaks[kind].do(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a run leaves behind fails it, and is named.
func TestLeaksAreFound(t *testing.T) {
	NeedRoot(t)
	if os.Getenv(leakVariable) != "" {
		t.Skip("this is a copy")
	}
	for kind, leak := range leaks {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestLeak$")
			cmd.Env = append(os.Environ(), leakVariable+"="+kind)
			out, err := cmd.CombinedOutput()
			clearUp(cmd.Process.Pid)
			if failed := err != nil; failed != (leak.want != "") || !strings.Contains(string(out), leak.want) {
				t.Errorf("%v, want %q in the output:\n%s", err, leak.want, out)
			}
		})
	}
}

// clearUp removes what a copy has left.
func clearUp(pid int) {
	os.Remove(group(pid))
	dirs, _ := filepath.Glob(fmt.Sprintf("%s/peapod-test-%d-*", os.TempDir(), pid))
	for _, dir := range dirs {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.RemoveAll(dir)
	}
}
