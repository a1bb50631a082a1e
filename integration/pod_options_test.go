package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// stubborn is a pod that SIGTERM does not end, with an hour to do so.
func stubborn(t testing.TB) (name, path string) {
	t.Helper()
	name, path = podSpec(t, probing("stubborn"))
	spec := decode[map[string]any](t, read(t, path))
	spec["spec"].(map[string]any)["terminationGracePeriodSeconds"] = 3600
	writeJSON(t, path, spec)
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", name).ok() })
	return name, path
}

// The time that containers have to end is said by one option, in all commands that
// end some.
func TestPodGrace(t *testing.T) {
	name, path := stubborn(t)
	peapod(t, "pod", "run", "-d", "-f", path).ok()
	begun := time.Now()
	peapod(t, "pod", "restart", "--grace-period", "100ms", name).ok()
	spec := decode[map[string]any](t, read(t, path))
	spec["metadata"].(map[string]any)["labels"] = map[string]any{"is": "changed"}
	writeJSON(t, path, spec)
	if got := peapod(t, "pod", "apply", path, "-t", "0.1").ok(); got != "pod/"+name+" changed" {
		t.Errorf("apply: %q", got)
	}
	peapod(t, "pod", "rm", name, "-t", "1").wants(1, "--force")
	peapod(t, "pod", "rm", name, "-f", "--time", "100ms").ok()
	peapod(t, "pod", "run", "-d", path).ok()
	peapod(t, "pod", "stop", "--grace-period=0", name).ok()
	if took := time.Since(begun); took > 10*time.Minute {
		t.Errorf("all of that took %v", took)
	}
	for _, command := range []string{"stop", "restart", "rm"} {
		peapod(t, "pod", command, "-t", "soon", name).wants(1, `--time "soon"`, "90s")
	}
	peapod(t, "pod", "restart", "--timeout", "-1", name).wants(1, "--timeout -1", "0 or more")
}

func TestPodAll(t *testing.T) {
	dir := t.TempDir()
	in := func(args ...string) *result {
		return peapod(t, append([]string{"--root", filepath.Join(dir, "run"), "--data", filepath.Join(dir, "data")}, args...)...)
	}
	t.Cleanup(func() { in("pod", "rm", "--all", "-f").ok() })
	in("pod", "stop", "--all").wants(0, "there are no pods")
	a, pathA := podSpec(t, probing("hold"))
	b, pathB := podSpec(t, probing("hold"))
	in("pod", "run", "-d", pathA).ok()
	in("pod", "run", "-d", pathB).ok()
	in("pod", "rm", "--all").wants(1, a, b, "is running")
	in("pod", "rm", "--all", a).wants(1, "--all stands for all pods")
	in("pod", "restart", "--all").ok()
	in("pod", "stop", a).ok()
	if r := in("pod", "stop", "-a"); r.ok() != "" || r.stderr != "" {
		t.Errorf("stop --all: %q, %q", r.stdout, r.stderr)
	}
	in("pod", "rm", "--all").ok()
	if got := in("pod", "ps", "-q").ok(); got != "" {
		t.Errorf("left: %q", got)
	}
}

// Who wants to execute something in a container that has no process learns why it
// has none.
func TestPodExecNotRunning(t *testing.T) {
	name, path := podSpec(t, probing("hold"), probing("echo", "last", "words", ";", "exit", "3"))
	spec := decode[map[string]any](t, read(t, path))
	spec["spec"].(map[string]any)["restartPolicy"] = "Always"
	writeJSON(t, path, spec)
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", name).ok() })
	peapod(t, "pod", "run", "-d", path).ok()
	told := regexp.MustCompile(`^peapod: container b of pod ` + name + ` is not running: it exited with status 3 \d+s ago; ` +
		`after \d+ starts it starts again in \d+s \(CrashLoopBackOff\); see peapod pod logs -c b ` + name + "\n$")
	testkit.Until(t, func() string {
		r := peapod(t, "pod", "exec", "-c", "b", name, "probe")
		if told.MatchString(r.stderr) && r.code == 1 {
			return ""
		}
		return fmt.Sprintf("exec says %q, %d", r.stderr, r.code)
	})
	if got := peapod(t, "pod", "logs", "--previous", "-c", "b", "pod/"+name).ok(); got != "last words" {
		t.Errorf("the log of the run before: %q", got)
	}
	if got := peapod(t, "pod", "logs", "-c", "b", "--since", "1h", name).ok(); strings.Count(got, "last words") < 2 {
		t.Errorf("the log of the last hour: %q", got)
	}
	if got := peapod(t, "pod", "logs", "-c", "b", "--since", time.Now().Add(time.Hour).Format(time.RFC3339), name).ok(); got != "" {
		t.Errorf("the log of what comes: %q", got)
	}
	peapod(t, "pod", "logs", "-p", name, "-c", "a").wants(1, "container a has not been started again")
	peapod(t, "pod", "logs", "-p", "-f", name).wants(1, "leave --follow out")
	peapod(t, "pod", "logs", "--since", "yesterday", name).wants(1, `--since "yesterday"`, "10s or 5m")
	peapod(t, "pod", "stop", "-t", "0", name).ok()
	peapod(t, "pod", "exec", name, "probe").wants(1, "container a of pod "+name+" is not running", "the pod has ended")
	peapod(t, "pod", "inspect", name+"x").wants(1, "did you mean "+name+"?")
}

// keeper is a pod that counts its starts in a volume.
func keeper(t testing.TB) (name, path string) {
	t.Helper()
	c := probing("count", "/keep/n", ";", "hold")
	c["volumeMounts"] = []map[string]any{{"name": "keep", "mountPath": "/keep"}}
	name, path = podSpec(t, c)
	spec := decode[map[string]any](t, read(t, path))
	spec["spec"].(map[string]any)["volumes"] = []map[string]any{{"name": "keep", "emptyDir": map[string]any{}}}
	writeJSON(t, path, spec)
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", name).ok() })
	return name, path
}

// logs -f goes on while containers, and the pod, are started again.
func TestPodLogsFollowRestart(t *testing.T) {
	name, path := keeper(t)
	peapod(t, "pod", "run", "-d", path).ok()
	follower := begin(t, command(t, "pod", "logs", "-f", name))
	follower.sees("start 1")
	peapod(t, "pod", "restart", name).ok()
	follower.sees("start 2")
	peapod(t, "pod", "stop", name).ok()
	if code := follower.status(); code != 0 {
		t.Errorf("status %d", code)
	}
}

// A path that leads nowhere is answered with what is near by.
func TestPodFileMistyped(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"hello.json", "other.yaml", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for given, want := range map[string]string{
		"helo.json":     "no such file; did you mean " + filepath.Join(dir, "hello.json") + "?\n",
		"other":         "no such file; did you mean " + filepath.Join(dir, "other.yaml") + "?\n",
		"xyz.json":      "no such file; there is hello.json, other.yaml: give a file with a Kubernetes Pod or Deployment",
		"none/hi.json":  "no such file; there is no directory " + filepath.Join(dir, "none"),
		"notes.txt/a.b": "not a directory",
	} {
		for _, command := range []string{"run", "apply"} {
			peapod(t, "pod", command, filepath.Join(dir, given)).wants(1, filepath.Join(dir, given), want)
		}
	}
}
