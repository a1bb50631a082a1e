package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// newRootlessPodman is podman of an ordinary user, nobody, to whom subuid(5) grants a
// range of ids: for nobody else, in a mount namespace of its own. Its runtime is then
// root in podman's user namespace.
func newRootlessPodman(t *testing.T) *engine {
	t.Helper()
	needs(t, "podman", "conmon", "newuidmap", "setpriv", "unshare", "script")
	home, err := os.MkdirTemp(testkit.Scratch(), "rootless-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	// Where conmon has it clear up, podman takes no more than 50 characters, and who
	// waits for a container else waits for 20 s more.
	run, err := os.MkdirTemp("", "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	for name, text := range map[string]string{
		"ids":  "65534:100000:65536\n",
		"conf": "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive := newImage(t, home)
	for _, path := range []string{run, home} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	const script = `for f in /etc/subuid /etc/subgid; do test -e $f || : >$f; mount --bind "$0" $f; done
		exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
	p := &engine{t: t, dir: home, name: "unshare", args: []string{"-m", "sh", "-ec", script, home + "/ids", "podman",
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", binary}}
	p.env = []string{"HOME=" + home, "USER=nobody", "XDG_RUNTIME_DIR=" + run, "XDG_CONFIG_HOME=" + home + "/config", "XDG_DATA_HOME=" + home + "/data",
		"CONTAINERS_CONF=" + home + "/conf"}
	t.Cleanup(func() {
		p.ok("pod", "rm", "--all", "--force", "--time", "0")
		p.ok("rm", "--all", "--force", "--time", "0")
		p.ok("rmi", "--all", "--force")
		p.ok("system", "migrate") // ends the process that holds the namespace
	})
	p.ok("import", "--quiet", archive, image)
	return p
}

// What root's podman does an ordinary user's does too, but for limits.
func TestPodmanRootless(t *testing.T) {
	p := newRootlessPodman(t)
	p.says(0, []string{"hello"}, box("--rm", image, "echo", "hello")...)
	p.says(3, nil, box("--rm", image, "sh", "-c", "exit 3")...)
	p.says(127, []string{"executable file not found"}, box("--rm", image, "nosuch")...)
	p.says(0, []string{"uid=1000(user)"}, box("--rm", "--user", "user", image, "id")...)
	p.says(0, []string{"uid=65534"}, box("--rm", "--userns", "keep-id", image, "id")...)
	p.says(1, []string{"Read-only file system"}, box("--rm", "--read-only", image, "touch", "/x")...)
	p.says(0, []string{"Seccomp:\t2"}, box("--rm", image, "grep", "Seccomp:", "/proc/self/status")...)
	p.says(0, []string{"CapEff:\t000001ffffffffff"}, box("--rm", "--privileged", image, "grep", "CapEff", "/proc/self/status")...)
	p.says(0, []string{"host's"}, box("--rm", "--pid", "host", image, "echo", "host's")...)
	p.ok(box("-d", "--name", "life", image, "sh", "-c", `trap "exit 7" TERM; while :; do sleep 0.1; done`)...)
	p.says(5, nil, "exec", "life", "sh", "-c", "exit 5")
	if code, out := p.onTerminal("exec", "-t", "--user", "user", "life", "sh", "-c", "tty; id -u; exit 6"); code != 6 || !strings.Contains(out, "/dev/pts/0") || !strings.Contains(out, "1000") {
		t.Errorf("exec -t: %d, %q", code, out)
	}
	p.says(0, []string{"USER", "sleep 0.1"}, "top", "life")
	p.ok("stop", "life")
	p.says(0, []string{"exited 7"}, "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "life")
	p.ok("rm", "life")
	p.ok("pod", "create", "--name", "pair", "--network", "none", "--infra-image", image, "--infra-command", "sleep 1000", "--share", "net,ipc,uts,pid")
	p.ok("run", "-d", "--pod", "pair", "--name", "one", image, "sleep", "1001")
	p.says(0, []string{"sleep 1001"}, "run", "--rm", "--pod", "pair", image, "ps")
	p.ok("pod", "rm", "--force", "--time", "0", "pair")
}
