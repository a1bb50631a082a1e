// Package integration tests the peapod binary from outside, as root, on the
// kernel that is there. Each file is about one part of it; this one builds the
// binary and checks at the end that nothing is left.
package integration

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// binary is the peapod that is tested, probe a static program for the
	// containers to run (runtime/testdata/probe).
	binary, probe string
	// scratch is this run's directory. The state is in state below it, the
	// pods' data in data: peapod learns that from its environment.
	scratch string
	// prefix begins the names of this run's containers and pods (newName),
	// so that their cgroups are told from those of others.
	prefix = fmt.Sprintf("it-%d-", os.Getpid())
)

// worker is set in the environment of the process that runs the tests.
const worker = "PEAPOD_INTEGRATION_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(worker) == "" {
		os.Exit(supervise())
	}
	os.Exit(testMain(m))
}

// supervise runs this program again and takes the part of init for it: what
// loses its parent becomes a child of this process, which reaps it, and finds
// at the end what runs on. (A pid namespace does not end before the last of its
// processes is reaped.)
func supervise() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "integration: containers need root: run the tests as root, for instance: sudo make test")
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	// The signal comes when the thread that started it ends.
	runtime.LockOSThread()
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), worker+"=1"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	code := 1
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && err != unix.EINTR {
			break
		}
		if pid == p.Pid {
			code = status.ExitStatus()
			break
		}
	}
	if left := processes(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: left running by the tests:\n  %s\n", strings.Join(left, "\n  "))
		return 1
	}
	return code
}

func testMain(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "peapod-integration-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	code := m.Run()
	if left := leftOver(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: left over by the tests:\n  %s\n", strings.Join(left, "\n  "))
		return 1
	}
	return code
}

func prepare() error {
	if err := os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"CGO_ENABLED": "0", "PEAPOD_ROOT": filepath.Join(scratch, "state"), "PEAPOD_DATA": filepath.Join(scratch, "data"),
	} {
		os.Setenv(name, value)
	}
	binary, probe = filepath.Join(scratch, "peapod"), filepath.Join(scratch, "probe")
	for path, pkg := range map[string]string{binary: "../cmd/peapod", probe: "../runtime/testdata/probe"} {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
			"-ldflags", "-s -w -X main.version=0.0.0-test", "-o", path, pkg)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// leftOver lists what the tests have not cleared up. What is about to end gets
// a moment.
func leftOver() (left []string) {
	for range 300 {
		left = append(append(mounts(), groups()...), registered()...)
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}

// processes are the children of this process that run. It gives those a moment
// that are about to end.
func processes() (list []string) {
	for range 300 {
		list = children()
		if len(list) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return list
}

func children() (list []string) {
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for pid := range strings.FieldsSeq(string(children)) {
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			_, rest, _ := strings.Cut(string(stat), ") ")
			if rest != "" && rest[0] != 'Z' && rest[0] != 'X' {
				args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				list = append(list, "process "+pid+": "+strings.ReplaceAll(string(args), "\x00", " "))
			}
		}
	}
	return list
}

// mounts are those of this run, and namespaces that are held by a mount.
func mounts() (list []string) {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, scratch) || strings.Contains(line, prefix) {
			list = append(list, "mount: "+strings.TrimSpace(line))
		}
	}
	return list
}

// groups are the cgroups of this run's containers and pods.
func groups() (list []string) {
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went meanwhile
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), prefix) {
			list = append(list, "cgroup: "+path)
		}
		return nil
	})
	return list
}

// registered are the containers and pods that are still known.
func registered() (list []string) {
	for _, pattern := range []string{"state/containers/*", "state/pods/*", "data/pods/*"} {
		found, _ := filepath.Glob(filepath.Join(scratch, pattern))
		list = append(list, found...)
	}
	return list
}

var names int

// newName returns a name for a container or pod. What has it is removed at the
// test's end.
func newName(t testing.TB) string {
	t.Helper()
	names++
	name := prefix + strconv.Itoa(names)
	t.Cleanup(func() {
		for _, args := range [][]string{{"delete", "--force", name}, {"pod", "rm", "--force", name}} {
			if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
				t.Errorf("peapod %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	})
	return name
}
