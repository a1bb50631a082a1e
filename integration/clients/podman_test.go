package clients

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// image is the name of the tests' image.
const image = "localhost/box"

// newPodman is podman with peapod, and the image.
func newPodman(t *testing.T) *engine {
	t.Helper()
	needs(t, "podman", "conmon", "script")
	dir := t.TempDir()
	conf := filepath.Join(dir, "containers.conf")
	// Its default limits are above what root may set where CAP_SYS_RESOURCE
	// is missing.
	text := "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &engine{t: t, dir: dir, name: "podman", env: []string{"CONTAINERS_CONF=" + conf}}
	p.args = []string{"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp",
		"--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", binary}
	if !existed("libpod_parent") {
		t.Cleanup(func() { removeGroups(t, "libpod_parent") })
	}
	t.Cleanup(func() {
		p.ok("pod", "rm", "--all", "--force", "--time", "0")
		p.ok("rm", "--all", "--force", "--time", "0")
		p.ok("rmi", "--all", "--force")
	})
	p.ok("import", "--quiet", newImage(t, dir), image)
	return p
}

// in makes p report to a part of the test.
func (e *engine) in(t *testing.T) *engine {
	part := *e
	part.t = t
	return &part
}

func TestPodman(t *testing.T) {
	all := newPodman(t)
	for _, part := range []struct {
		name string
		test func(p *engine)
	}{
		{"run", podmanRun}, {"options", podmanOptions}, {"execOptions", podmanExecOptions}, {"terminal", podmanTerminal}, {"life", podmanLife}, {"limits", podmanLimits},
		{"copy", podmanCopy}, {"seccomp", podmanSeccomp}, {"users", podmanUsers}, {"volumes", podmanVolumes},
		{"health", podmanHealth}, {"notify", podmanNotify}, {"pods", podmanPods}, {"kube", podmanKube},
		{"checkpoint", podmanCheckpoint},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(all.in(t)) })
	}
}

// box is a call of run in a container without a network.
func box(args ...string) []string {
	return append([]string{"run", "--network", "none"}, args...)
}

func podmanRun(p *engine) {
	p.says(0, []string{"hello"}, box("--rm", image, "echo", "hello")...)
	p.says(3, nil, box("--rm", image, "sh", "-c", "exit 3")...)
	p.says(127, []string{"executable file not found"}, box("--rm", image, "nosuch")...)
	p.says(126, []string{"permission denied"}, box("--rm", image, "/etc")...)
	p.says(0, []string{"A=b", "HOME=/home", "uid=1000(user) gid=1000(user)"},
		box("--rm", "--env", "A=b", "--user", "user", image, "sh", "-c", "env; id")...)
	p.says(0, []string{"box1", "/tmp"}, box("--rm", "--hostname", "box1", "--workdir", "/tmp", image, "sh", "-c", "hostname; pwd")...)
	p.says(1, []string{"Read-only file system"}, box("--rm", "--read-only", image, "touch", "/x")...)
	p.says(0, []string{"init"}, box("--rm", "--pid", "host", image, "sh", "-c", "test -d /proc/1 && echo init")...)
	p.says(0, []string{"CapEff:\t0000000000000000"}, box("--rm", "--cap-drop", "all", image, "grep", "CapEff", "/proc/self/status")...)
	p.says(0, []string{"1024 1"}, box("--rm", "--sysctl", "net.ipv4.ip_forward=1", image,
		"sh", "-c", "echo $(ulimit -n) $(cat /proc/sys/net/ipv4/ip_forward)")...)
	cmd := p.command(box("--rm", "-i", image, "cat")...)
	cmd.Stdin = strings.NewReader("through a pipe")
	if code, out := p.finish(cmd); code != 0 || out != "through a pipe" {
		p.t.Errorf("stdin: %d, %q", code, out)
	}
}

// Options of run that end in config.json.
func podmanOptions(p *engine) {
	p.says(0, nil, box("--rm", "--privileged", image, "mount", "-t", "tmpfs", "x", "/tmp")...)
	p.says(1, []string{"ermi"}, box("--rm", image, "mount", "-t", "tmpfs", "x", "/tmp")...) // denied, not permitted
	p.says(0, []string{"1"}, box("--rm", "--device", "/dev/zero:/dev/mine", image, "sh", "-c", "head -c 1 /dev/mine | wc -c")...)
	p.says(0, []string{"100 NoNewPrivs: 1 500"}, box("--rm", "--ulimit", "nofile=100:200", "--ulimit", "nproc=4096:4096", "--security-opt", "no-new-privileges", "--oom-score-adj", "500", image,
		"sh", "-c", "echo $(ulimit -n) $(grep NoNewPrivs /proc/self/status) $(cat /proc/self/oom_score_adj)")...)
	p.says(0, []string{"16.0M"}, box("--rm", "--shm-size", "16m", image, "df", "-h", "/dev/shm")...)
	p.says(0, []string{"0"}, box("--rm", "--security-opt", "mask=/etc/passwd", image, "sh", "-c", "wc -c </etc/passwd")...)
	for _, kind := range []string{"ipc", "uts", "cgroup"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			p.t.Fatal(err)
		}
		option := map[string]string{"cgroup": "--cgroupns"}[kind]
		if option == "" {
			option = "--" + kind
		}
		p.says(0, []string{own}, box("--rm", option, "host", image, "readlink", "/proc/self/ns/"+kind)...)
	}
	p.says(0, []string{"podman-init"}, box("--rm", "--init", image, "cat", "/proc/1/cmdline")...)
	file := filepath.Join(p.t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("by descriptor"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := p.command(box("--rm", "--preserve-fds", "1", image, "sh", "-c", "cat <&3")...)
	cmd.ExtraFiles = []*os.File{f}
	if code, out := p.finish(cmd); code != 0 || out != "by descriptor" {
		p.t.Errorf("--preserve-fds: %d, %q", code, out)
	}
	p.ok(box("-d", "--name", "waited", image, "sh", "-c", "echo said; exit 9")...)
	p.says(0, []string{"9"}, "wait", "waited")
	p.says(0, []string{"said"}, "logs", "waited")
	p.says(9, []string{"said"}, "start", "--attach", "waited")
	p.ok("rm", "waited")
}

// Options of exec that end in process.json.
func podmanExecOptions(p *engine) {
	p.ok(box("-d", "--name", "execs", image, "sleep", "1000")...)
	p.says(0, []string{"/tmp b 1000"}, "exec", "--workdir", "/tmp", "--env", "A=b", "--user", "user", "execs", "sh", "-c", "echo $(pwd) $A $(id -u)")
	p.says(1, []string{"ermi"}, "exec", "execs", "mount", "-t", "tmpfs", "x", "/tmp")
	p.says(0, nil, "exec", "--privileged", "execs", "mount", "-t", "tmpfs", "x", "/tmp")
	p.ok("exec", "--detach", "execs", "sh", "-c", "echo done >/detached; sleep 1001")
	p.until("done", "exec", "execs", "cat", "/detached")
	p.says(0, []string{"sleep 1001"}, "top", "execs")
	p.ok("restart", "--time", "0", "execs")
	p.says(1, nil, "exec", "execs", "sh", "-c", `ps | grep "[s]leep 1001"`)
	p.ok("rm", "--force", "--time", "0", "execs")
}

func podmanTerminal(p *engine) {
	if code, out := p.onTerminal(box("--rm", "-t", image, "sh", "-c", "tty; exit 4")...); code != 4 || !strings.Contains(out, "/dev/pts/0") {
		p.t.Errorf("run -t: %d, %q", code, out)
	}
	p.ok(box("-d", "--name", "term", image, "sleep", "1000")...)
	if code, out := p.onTerminal("exec", "-t", "--user", "user", "term", "sh", "-c", "tty; echo -n x > $(tty); stat -c %u $(tty); exit 5"); code != 5 || !strings.Contains(out, "/dev/pts/0") || !strings.Contains(out, "1000") {
		p.t.Errorf("exec -t: %d, %q", code, out)
	}
	p.ok("rm", "--force", "--time", "0", "term")
}

func podmanLife(p *engine) {
	p.ok(box("-d", "--name", "life", image, "sh", "-c", `trap "exit 7" TERM; while :; do sleep 0.1; done`)...)
	p.says(0, []string{"in"}, "exec", "life", "echo", "in")
	p.says(5, nil, "exec", "life", "sh", "-c", "exit 5")
	p.says(127, []string{"executable file not found"}, "exec", "life", "nosuch")
	p.says(0, []string{"USER", "sleep 0.1"}, "top", "life")
	p.ok("pause", "life")
	p.says(0, []string{"paused"}, "inspect", "--format", "{{.State.Status}}", "life")
	p.says(255, nil, "exec", "life", "true")
	p.ok("unpause", "life")
	p.says(0, []string{"in"}, "exec", "life", "echo", "in")
	p.says(0, []string{"life"}, "stats", "--no-stream", "life")
	p.ok("stop", "life")
	p.says(0, []string{"exited 7"}, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")
	p.ok("start", "life")
	p.ok("kill", "--signal", "KILL", "life")
	p.until("exited 137", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")
	p.ok("rm", "life")
}

func podmanLimits(p *engine) {
	p.ok(box("-d", "--name", "limits", "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", image, "sleep", "1000")...)
	limit := func() string {
		return p.ok("exec", "limits", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true")
	}
	if got := limit(); got != "67108864" {
		p.t.Errorf("memory limit %q", got)
	}
	p.ok("update", "--memory", "128m", "limits")
	if got := limit(); got != "134217728" {
		p.t.Errorf("memory limit after the update %q", got)
	}
	p.ok("rm", "--force", "--time", "0", "limits")
	p.ok(box("--name", "oom", "-d", "--memory", "16m", "--memory-swap", "16m", image, "sh", "-c", "tail /dev/zero")...)
	p.until("exited 137", "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "oom")
	p.ok("rm", "oom")
}

func podmanCopy(p *engine) {
	file := filepath.Join(p.t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("copied"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok(box("-d", "--name", "copy", image, "sleep", "1000")...)
	p.ok("cp", file, "copy:/tmp/file")
	p.says(0, []string{"copied"}, "exec", "copy", "cat", "/tmp/file")
	p.ok("cp", "copy:/etc/passwd", file)
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), "user:x:1000") {
		p.t.Errorf("copied out %q, %v", data, err)
	}
	p.ok("rm", "--force", "--time", "0", "copy")
}

func podmanSeccomp(p *engine) {
	p.says(0, []string{"Seccomp:\t2"}, box("--rm", image, "grep", "Seccomp:", "/proc/self/status")...)
	p.says(0, []string{"Seccomp:\t0"}, box("--rm", "--security-opt", "seccomp=unconfined", image, "grep", "Seccomp:", "/proc/self/status")...)
	profile := filepath.Join(p.t.TempDir(), "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}`
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.says(1, []string{"Permission denied"}, box("--rm", "--security-opt", "seccomp="+profile, image, "mkdir", "/x")...)
}

func podmanUsers(p *engine) {
	p.says(0, []string{"uid=0(root)", "100000      65536"}, box("--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", image,
		"sh", "-c", "id; cat /proc/self/uid_map")...)
}

func podmanVolumes(p *engine) {
	dir := p.t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		p.t.Fatal(err)
	}
	p.says(0, nil, box("--rm", "--volume", dir+":/data", image, "touch", "/data/a")...)
	p.says(1, []string{"Read-only"}, box("--rm", "--volume", dir+":/data:ro", image, "touch", "/data/b")...)
	p.says(0, []string{"0 0"}, box("--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--volume", dir+":/data:idmap", image,
		"sh", "-c", "touch /data/c; stat -c '%u %g' /data/a")...)
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		p.t.Error(err)
	}
	p.says(0, []string{"64.0M"}, box("--rm", "--tmpfs", "/scratch:size=64m", image, "df", "-h", "/scratch")...)
}

func podmanHealth(p *engine) {
	p.ok(box("-d", "--name", "health", "--health-cmd", "test -e /tmp/well", "--health-interval", "disable", "--health-retries", "1", image, "sleep", "1000")...)
	p.says(1, []string{"unhealthy"}, "healthcheck", "run", "health")
	p.ok("exec", "health", "touch", "/tmp/well")
	p.says(0, nil, "healthcheck", "run", "health")
	p.ok("rm", "--force", "--time", "0", "health")
}

// A service's container reports by itself that it is ready.
func podmanNotify(p *engine) {
	path := filepath.Join(p.t.TempDir(), "manager")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		p.t.Fatal(err)
	}
	defer manager.Close()
	cmd := p.command(box("-d", "--name", "notify", "--sdnotify", "container", "--volume", testkit.Probe(p.t)+":/probe:ro", image,
		"/probe", "notify", "STATUS=from inside", "READY=1", ";", "wait")...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	if code, out := p.finish(cmd); code != 0 {
		p.t.Fatalf("status %d: %s", code, out)
	}
	manager.SetReadDeadline(time.Now().Add(testkit.Patience))
	for b, heard := make([]byte, 4096), ""; !strings.Contains(heard, "READY=1"); {
		n, err := manager.Read(b)
		if heard += string(b[:n]) + "\n"; err != nil {
			p.t.Fatalf("the manager hears %q, %v", heard, err)
		}
	}
	p.ok("rm", "--force", "--time", "0", "notify")
}

func podmanPods(p *engine) {
	p.ok("pod", "create", "--name", "pair", "--network", "none", "--infra-image", image, "--infra-command", "sleep 1000", "--share", "net,ipc,uts,pid")
	p.ok("run", "-d", "--pod", "pair", "--name", "one", image, "sleep", "1001")
	p.ok("run", "-d", "--pod", "pair", "--name", "two", image, "sleep", "1002")
	p.says(0, []string{"sleep 1001"}, "exec", "two", "ps")
	for _, ns := range []string{"net", "ipc", "uts", "pid"} {
		if one, two := p.ok("exec", "one", "readlink", "/proc/self/ns/"+ns), p.ok("exec", "two", "readlink", "/proc/self/ns/"+ns); one != two {
			p.t.Errorf("%s: %s and %s", ns, one, two)
		}
	}
	p.ok("pod", "pause", "pair")
	p.ok("pod", "unpause", "pair")
	p.ok("pod", "rm", "--force", "--time", "0", "pair")
}

// The spec is one that peapod runs, too, but for the image.
func podmanKube(p *engine) {
	spec := filepath.Join(p.t.TempDir(), "pod.yaml")
	text := fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: played}
spec:
  containers:
  - name: a
    image: %[1]s:latest
    imagePullPolicy: Never
    command: [/bin/sh, -c, "echo $WHO; sleep 1000"]
    env: [{name: WHO, value: world}]
    resources: {limits: {memory: 64Mi}}
  - name: b
    image: %[1]s:latest
    imagePullPolicy: Never
    command: [/bin/sleep, "1000"]
    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
`, image)
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok("kube", "play", "--network", "none", spec)
	p.until("world", "logs", "played-a")
	p.says(0, []string{"1000"}, "exec", "played-b", "/bin/id", "-u")
	p.ok("kube", "down", spec)
}

// needsCRIU skips the test where there is no criu that works with this kernel, but
// not in CI.
func needsCRIU(t testing.TB) {
	t.Helper()
	needs(t, "criu")
	if out, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("criu check: %v\n%s", err, out)
		}
		t.Skipf("criu does not work with this kernel: %v\n%s", err, out)
	}
}

func podmanCheckpoint(p *engine) {
	needsCRIU(p.t)
	p.ok(box("-d", "--name", "saved", image, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")...)
	last := func() int {
		n, _ := strconv.Atoi(p.ok("logs", "--tail", "1", "saved"))
		return n
	}
	counts := func(to int) {
		p.t.Helper()
		testkit.Eventually(p.t, fmt.Sprintf("it counts to %d", to), func() bool { return last() >= to })
	}
	counts(3)
	p.ok("container", "checkpoint", "--leave-running", "saved")
	counts(last() + 3)
	p.ok("container", "checkpoint", "saved")
	p.until("exited", "inspect", "--format", "{{.State.Status}}", "saved")
	n := last()
	p.ok("container", "restore", "saved")
	counts(n + 3)
	p.says(0, []string{"in"}, "exec", "saved", "echo", "in")
	// The images and what the container has written, for another one.
	archive := filepath.Join(p.t.TempDir(), "saved.tar.gz")
	p.ok("exec", "saved", "touch", "/tmp/written")
	p.ok("container", "checkpoint", "--export", archive, "saved")
	p.ok("rm", "saved")
	p.ok("container", "restore", "--import", archive, "--name", "again")
	p.says(0, []string{"/tmp/written"}, "exec", "again", "ls", "/tmp/written")
	p.ok("rm", "--force", "--time", "0", "again")
}
