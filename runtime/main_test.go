package runtime

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The variables that give a copy of this test binary a part to play.
const (
	plainCgroup2 = "PEAPOD_TEST_CGROUP2" // in a private mount namespace with cgroup v2 alone
	victimID     = "PEAPOD_TEST_VICTIM"  // create this container and be killed meanwhile
	victimState  = "PEAPOD_TEST_STATE"
	victimImage  = "PEAPOD_TEST_IMAGE"
)

var (
	// scratch is the directory of this run: the probe, images, state.
	scratch string
	// group is the parent of the cgroups of this run.
	group = fmt.Sprintf("/peapod/runtime-test-%d", os.Getpid())
)

func TestMain(m *testing.M) {
	if os.Getenv(victimID) != "" {
		os.Exit(victim())
	}
	if os.Getenv(plainCgroup2) != "" {
		if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mount cgroup2 in a private mount namespace:", err)
			os.Exit(1)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "peapod-runtime-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Geteuid() == 0 {
		build := exec.Command("go", "build", "-o", filepath.Join(scratch, "probe"), "./testdata/probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the probe: %v\n%s", err, out)
			return 1
		}
	}
	before := holdings()
	code := m.Run()
	if left := leaked(before); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: left over by the tests:\n  %s\n", strings.Join(left, "\n  "))
		code = 1
	}
	return code
}

// leaked is what was not there before the tests. It waits a little: threads
// and goroutines end after what they did has.
func leaked(before map[string]bool) (left []string) {
	for range 200 {
		left = nil
		for what := range holdings() {
			if !before[what] {
				left = append(left, what)
			}
		}
		if n := goruntime.NumGoroutine(); n > 4 {
			left = append(left, fmt.Sprintf("%d goroutines", n))
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}

// holdings lists what must not become more: open files, mounts, cgroups,
// children, containers.
func holdings() map[string]bool {
	list := map[string]bool{}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, e := range fds {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasSuffix(to, "/cpu.max") && !strings.HasPrefix(to, "/proc/") {
			list["descriptor "+e.Name()+" of "+to] = true
		}
	}
	for _, where := range outside() {
		list[where] = true
	}
	return list
}

// outside is what a container could leave on the host.
func outside() (list []string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		// Tests of other packages, which mount too, run at the same time.
		if strings.Contains(line, scratch) || strings.Contains(line, " overlay peapod ") {
			list = append(list, "mount "+strings.TrimSpace(line))
		}
	}
	for _, pattern := range []string{group, "/*" + group} {
		found, _ := filepath.Glob("/sys/fs/cgroup" + pattern)
		list = append(list, found...)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for pid := range strings.FieldsSeq(string(children)) {
			name, _ := os.ReadFile("/proc/" + pid + "/stat")
			list = append(list, "child "+strings.TrimSpace(string(name)))
		}
	}
	return list
}
