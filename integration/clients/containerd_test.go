package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// newContainerd starts a containerd, with further lines of configuration, and
// returns a client of it.
func newContainerd(t *testing.T, config string) *engine {
	t.Helper()
	needs(t, "containerd", "ctr", "script")
	dir, err := os.MkdirTemp("", "ctr") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n%s", dir+"/root", dir+"/state", dir+"/sock", config)
	if err := os.WriteFile(dir+"/config.toml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon(t, dir+"/log", "containerd", "--config", dir+"/config.toml")
	c := &engine{t: t, dir: dir, name: "ctr", args: []string{"--address", dir + "/sock"}}
	testkit.Until(t, func() string {
		if code, out := c.run("version"); code != 0 {
			return out
		}
		return ""
	})
	return c
}

func TestContainerd(t *testing.T) {
	had := existed("default")
	c := newContainerd(t, "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
	t.Cleanup(func() {
		if !had {
			removeGroups(t, "default")
		}
	})
	newImage(t, c.dir)
	run := func(id string, options []string, args ...string) []string {
		list := append([]string{"run", "--runc-binary", binary, "--runc-root", c.dir + "/runc"}, options...)
		return append(append(list, "--rootfs", c.dir+"/image", id), args...)
	}
	c.says(0, []string{"hello"}, run("one", []string{"--rm"}, "/bin/echo", "hello")...)
	c.says(3, nil, run("two", []string{"--rm"}, "/bin/sh", "-c", "exit 3")...)
	c.says(1, []string{"executable file not found"}, run("three", []string{"--rm"}, "nosuch")...)
	c.run("container", "rm", "three")
	if code, out := c.onTerminal(run("four", []string{"--rm", "-t"}, "/bin/sh", "-c", "tty; exit 4")...); code != 4 || !strings.Contains(out, "/dev/pts/0") {
		t.Errorf("run -t: %d, %q", code, out)
	}
	t.Cleanup(func() {
		c.run("task", "delete", "--force", "life")
		c.run("container", "delete", "life")
	})
	c.ok(run("life", []string{"-d", "--memory-limit", "67108864", "--seccomp"}, "/bin/sleep", "1000")...)
	c.says(0, []string{"RUNNING"}, "task", "ls")
	c.says(0, []string{"Seccomp:\t2"}, "task", "exec", "--exec-id", "a", "life", "/bin/grep", "Seccomp:", "/proc/self/status")
	c.says(5, nil, "task", "exec", "--exec-id", "b", "life", "/bin/sh", "-c", "exit 5")
	if code, out := c.onTerminal("task", "exec", "-t", "--exec-id", "c", "life", "/bin/tty"); code != 0 || !strings.Contains(out, "/dev/pts/") {
		t.Errorf("exec -t: %d, %q", code, out)
	}
	c.ok("task", "pause", "life")
	c.says(0, []string{"PAUSED"}, "task", "ls")
	c.ok("task", "resume", "life")
	c.says(0, []string{"67108864"}, "task", "metrics", "--format", "json", "life")
	c.says(0, []string{"PID"}, "task", "ps", "life")
	c.ok("task", "kill", "--signal", "SIGKILL", "life")
	c.until("STOPPED", "task", "ls")
}
