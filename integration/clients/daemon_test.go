package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// daemon starts an engine's daemon, which is ended with the test. What it said is
// shown when the test failed.
func daemon(t *testing.T, log string, name string, args ...string) {
	t.Helper()
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if data, _ := os.ReadFile(log); t.Failed() {
			t.Logf("%s said:\n%s", name, data[max(0, len(data)-4000):])
		}
	})
}

// removeGroups removes the empty cgroups that an engine leaves, with what is below
// them.
func removeGroups(t *testing.T, name string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/*/" + name, "/sys/fs/cgroup/" + name} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range found {
			if out, err := exec.Command("find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").CombinedOutput(); err != nil {
				t.Errorf("a cgroup that the engine left: %s", out)
			}
		}
	}
}

// existed tells whether the host has cgroups of a name already, which are then
// not the test's.
func existed(name string) bool { return len(testkit.Groups(name)) > 0 }
