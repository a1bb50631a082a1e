package clients

import (
	"os"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// newDocker starts a dockerd that has peapod as its runtime, and returns a client
// of it with the tests' image.
func newDocker(t *testing.T) *engine {
	t.Helper()
	needs(t, "dockerd", "docker", "containerd", "script")
	dir, err := os.MkdirTemp("", "dock") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	had := existed("docker")
	t.Cleanup(func() {
		if !had {
			removeGroups(t, "docker")
		}
	})
	daemon(t, dir+"/log", "dockerd", "--host", "unix://"+dir+"/sock", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--pidfile", dir+"/pid", "--iptables=false", "--ip6tables=false", "--bridge=none", "--config-file", "",
		"--add-runtime", "peapod="+binary, "--default-runtime", "peapod")
	d := &engine{t: t, dir: dir, name: "docker", args: []string{"--host", "unix://" + dir + "/sock"}}
	testkit.Until(t, func() string {
		if code, out := d.run("info"); code != 0 {
			return out
		}
		return ""
	})
	d.ok("import", newImage(t, dir), image)
	return d
}

func TestDocker(t *testing.T) {
	d := newDocker(t)
	d.says(0, []string{"hello"}, "run", "--rm", image, "echo", "hello")
	d.says(3, nil, "run", "--rm", image, "sh", "-c", "exit 3")
	d.says(127, []string{"executable file not found"}, "run", "--rm", image, "nosuch")
	d.says(126, []string{"permission denied"}, "run", "--rm", image, "/etc")
	d.says(0, []string{"Seccomp:\t2"}, "run", "--rm", image, "grep", "Seccomp:", "/proc/self/status")
	if code, out := d.onTerminal("run", "--rm", "-t", image, "sh", "-c", "tty; exit 4"); code != 4 || !strings.Contains(out, "/dev/pts/0") {
		t.Errorf("run -t: %d, %q", code, out)
	}
	d.ok("run", "-d", "--init", "--name", "life", "--memory", "64m", "--cpus", "0.5", image, "sh", "-c", "echo started; sleep 1000")
	d.until("started", "logs", "life")
	d.says(5, nil, "exec", "life", "sh", "-c", "exit 5")
	d.says(0, []string{"uid=1000"}, "exec", "--user", "user", "life", "id")
	if code, out := d.onTerminal("exec", "-t", "life", "tty"); code != 0 || !strings.Contains(out, "/dev/pts/") {
		t.Errorf("exec -t: %d, %q", code, out)
	}
	d.says(0, []string{"sleep 1000"}, "top", "life")
	d.ok("pause", "life")
	d.says(0, []string{"paused"}, "inspect", "--format", "{{.State.Status}}", "life")
	d.ok("unpause", "life")
	d.ok("update", "--memory", "128m", "--memory-swap", "128m", "life")
	d.says(0, []string{"134217728"}, "exec", "life", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; true")
	d.says(0, []string{"life"}, "stats", "--no-stream", "life")
	d.ok("stop", "--time", "5", "life")
	d.says(0, []string{"exited 143"}, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")
	d.ok("start", "life")
	d.ok("kill", "life")
	d.until("exited 137", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")
	d.ok("restart", "life")
	d.says(0, []string{"/tmp b"}, "exec", "--workdir", "/tmp", "--env", "A=b", "life", "sh", "-c", "echo $(pwd) $A")
	d.says(1, []string{"ermi"}, "exec", "life", "mount", "-t", "tmpfs", "x", "/tmp")
	caps := []string{"grep", "CapEff", "/proc/self/status"} // the seccomp profile stays
	if less, all := d.ok(append([]string{"exec", "life"}, caps...)...), d.ok(append([]string{"exec", "--privileged", "life"}, caps...)...); less == all {
		t.Errorf("exec --privileged has %s, as without", all)
	}
	d.ok("rm", "--force", "life")
	d.says(0, []string{"1"}, "run", "--rm", "--device", "/dev/zero:/dev/mine", image, "sh", "-c", "head -c 1 /dev/mine | wc -c")
	d.says(0, nil, "run", "--rm", "--privileged", image, "mount", "-t", "tmpfs", "x", "/tmp")
	d.says(0, []string{"100 NoNewPrivs: 1"}, "run", "--rm", "--ulimit", "nofile=100:200", "--security-opt", "no-new-privileges", image,
		"sh", "-c", "echo $(ulimit -n) $(grep NoNewPrivs /proc/self/status)")
	d.says(137, nil, "run", "--name", "oom", "--memory", "16m", "--memory-swap", "16m", image, "tail", "/dev/zero")
	d.says(0, []string{"true"}, "inspect", "--format", "{{.State.OOMKilled}}", "oom")
	d.ok("rm", "oom")
}
