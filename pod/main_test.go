package pod

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
)

// superviseArg makes this test binary the supervisor that Detach starts.
const superviseArg = "supervise"

// scratch is the directory of this run: the probe, images, state, data. It is
// "" until a test needs it: fuzzing starts many of these, and kills them.
var scratch string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == superviseArg {
		os.Exit(Supervise())
	}
	if len(os.Args) > 3 && os.Args[1] == getArg {
		s := Store{Root: os.Args[2]}
		r, err := s.Get(os.Args[3])
		fmt.Println(r, err)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	before := holdings()
	defer func() { os.RemoveAll(scratch) }()
	code := m.Run()
	if left := leaked(before); code == 0 && len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: left over by the tests:\n  %s\n", strings.Join(left, "\n  "))
		code = 1
	}
	return code
}

// makeScratch builds the probe, once: the only thing that the tests' images
// hold.
var makeScratch = sync.OnceValue(func() (err error) {
	if scratch, err = os.MkdirTemp("", "peapod-pod-test-"); err != nil {
		return err
	}
	if err := os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(scratch, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return nil
})

// leaked is what was not there before the tests. It waits a little: threads and
// goroutines end after what they did has. It does not collect garbage, which
// would close files that nobody closed.
func leaked(before map[string]bool) (left []string) {
	for range 300 {
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
	pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	return left
}

// holdings lists what must not become more: open files, threads in foreign
// namespaces, children, mounts, cgroups.
func holdings() map[string]bool {
	list := map[string]bool{}
	for _, fd := range descriptors() {
		list[fd] = true
	}
	for _, what := range outside(scratch) {
		list[what] = true
	}
	homes := map[string]string{}
	for _, kind := range []string{"net", "ipc", "uts", "mnt", "cgroup"} {
		homes[kind], _ = os.Readlink("/proc/self/ns/" + kind)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		children, _ := os.ReadFile(task + "/children")
		for pid := range strings.FieldsSeq(string(children)) {
			name, _ := os.ReadFile("/proc/" + pid + "/stat")
			list["child "+strings.TrimSpace(string(name))] = true
		}
		for kind, home := range homes {
			if ns, err := os.Readlink(task + "/ns/" + kind); err == nil && ns != home {
				list["thread in "+ns] = true
			}
		}
	}
	return list
}

// descriptors are the open files, without those of Go's poller.
func descriptors() (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		// Go's poller, its container-aware GOMAXPROCS, the directory itself.
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasSuffix(to, "/cpu.max") &&
			!strings.HasPrefix(to, "/sys/fs/cgroup/cpu/") && !strings.HasPrefix(to, "/proc/") {
			list = append(list, "descriptor "+e.Name()+" of "+to)
		}
	}
	return list
}

// outside lists mounts and processes on this machine that belong to dir.
func outside(dir string) (list []string) {
	if dir == "" {
		return nil
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			list = append(list, "mount "+strings.TrimSpace(line))
		}
	}
	roots, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, file := range roots {
		if file == fmt.Sprintf("/proc/%d/mountinfo", os.Getpid()) {
			continue
		}
		mounts, _ := os.ReadFile(file)
		first, _, _ := strings.Cut(string(mounts), "\n")
		if strings.Contains(first, dir) {
			list = append(list, "process with the root "+strings.TrimSpace(first))
		}
	}
	return list
}
