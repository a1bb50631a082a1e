package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// podNow is what is looked at of a pod in `pod inspect`.
type podNow struct {
	Spec struct {
		Containers []struct{ Command []string }
	}
	Metadata struct{ Name string }
	Status   struct {
		Phase      string
		StartTime  time.Time
		Conditions []struct{ Type, Status string }
		Supervisor struct{ PID, Netns int }
	}
}

func inspect(t testing.TB, name string) podNow {
	t.Helper()
	return decode[podNow](t, peapod(t, "pod", "inspect", name).ok())
}

func (p *podNow) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// A pod is started again by its supervisor, keeps its volumes and its log, and
// nobody sees it end.
func TestPodRestart(t *testing.T) {
	c := probing("append", "/keep/runs", "x", ";", "cat", "/keep/runs", ";", "append", "/ram/runs", "y", ";", "cat", "/ram/runs", ";", "hold")
	c["volumeMounts"] = []map[string]any{{"name": "keep", "mountPath": "/keep"}, {"name": "ram", "mountPath": "/ram"}}
	name, path := podSpec(t, c)
	spec := decode[map[string]any](t, read(t, path))
	spec["spec"].(map[string]any)["volumes"] = []map[string]any{
		{"name": "keep", "emptyDir": map[string]any{}}, {"name": "ram", "emptyDir": map[string]any{"medium": "Memory"}},
	}
	writeJSON(t, path, spec)
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Eventually(t, "the first run has done its work", func() bool { return strings.Contains(peapod(t, "pod", "logs", name).ok(), "ready") })
	before := inspect(t, name)
	waiter := command(t, "pod", "wait", name)
	if err := waiter.Start(); err != nil {
		t.Fatal(err)
	}
	peapod(t, "pod", "restart", "pod/"+name).ok()
	after := inspect(t, name)
	if !after.Status.StartTime.After(before.Status.StartTime) || after.Status.Supervisor.PID != before.Status.Supervisor.PID || !after.ready() {
		t.Errorf("before %+v\nafter %+v", before.Status, after.Status)
	}
	testkit.Until(t, func() string {
		r := peapod(t, "pod", "logs", name)
		if log := r.ok(); strings.Count(log, "ready") == 2 && strings.Contains(log, "xx") && strings.Contains(log, "yy") {
			return ""
		}
		return "the log of both runs: " + r.stdout + r.stderr + peapod(t, "pod", "ps", "-o", "wide").stdout
	})
	if err := unix.Kill(waiter.Process.Pid, 0); err != nil {
		t.Errorf("pod wait saw an end: %v", err)
	}
	// Stopped, it is started again when something else keeps its supervisor alive; here nothing does.
	peapod(t, "pod", "stop", name).ok()
	if err := waiter.Wait(); err != nil {
		t.Errorf("pod wait: %v", err)
	}
	peapod(t, "pod", "restart", name).wants(1, name, "not running", "peapod pod apply")
	peapod(t, "pod", "rm", name).ok()
	nothingOf(t, name)
	peapod(t, "pod", "restart", name).wants(1, name, "no such pod")
	peapod(t, "pod", "restart", "deploy/"+name).wants(1, name, "no such deployment")
	peapod(t, "pod", "restart", "job/"+name).wants(1, `there is no kind "job"`)
}

// A Deployment is restarted a few pods at a time. There are always as many that
// are ready as the strategy says, and at the end the names are the same.
func TestRollingRestart(t *testing.T) {
	name, path, port := serviceManifest(t, 3)
	peapod(t, "pod", "run", "-d", path).ok()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	testkit.Until(t, func() string { return missing(who(address), name+"-0", name+"-1", name+"-2") })
	started := map[string]time.Time{}
	for i := range 3 {
		started[fmt.Sprintf("%s-%d", name, i)] = inspect(t, fmt.Sprintf("%s-%d", name, i)).Status.StartTime
	}
	fewest := watchReady(t, name, 3)
	peapod(t, "pod", "restart", "deployment/"+name, "--timeout", "60s").ok()
	if n := fewest(); n < 3 {
		t.Errorf("%d pods were ready at a time, want 3 at least", n)
	}
	for pod, before := range started {
		if now := inspect(t, pod); !now.Status.StartTime.After(before) || !now.ready() {
			t.Errorf("%s: %+v", pod, now.Status)
		}
	}
	peapod(t, "pod", "inspect", name+"-3").wants(1, "no such pod")
	nothingOf(t, name+"-3")
	testkit.Until(t, func() string { return missing(who(address), name+"-0", name+"-1", name+"-2") })
	peapod(t, "pod", "stop", name+"-0", name+"-1", name+"-2").ok()
	peapod(t, "pod", "rm", name+"-0", name+"-1", name+"-2").ok()
	nothingOf(t, name+"-0")
	testkit.Until(t, func() string {
		left, _ := filepath.Glob(filepath.Join(os.Getenv("PEAPOD_ROOT"), "groups", "*"))
		return strings.Join(left, "\n")
	})
}

func missing(have []string, want ...string) string {
	slices.Sort(have)
	if slices.Equal(have, want) {
		return ""
	}
	return fmt.Sprintf("answers come from %q, want %q", have, want)
}

// watchReady counts the pods of a Deployment that are ready, all the time. What it
// returns ends that and tells the smallest count.
func watchReady(t testing.TB, name string, begin int) (fewest func() int) {
	stop, done := make(chan struct{}), make(chan int)
	of := regexp.MustCompile(`^` + regexp.QuoteMeta(name) + `-\d+$`)
	go func() {
		least := begin
		defer func() { done <- least }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			out, err := exec.Command(binary, "pod", "ps", "-o", "json").Output()
			if err != nil {
				continue
			}
			ready := 0
			for _, p := range decode[struct{ Items []podNow }](t, string(out)).Items {
				if of.MatchString(p.Metadata.Name) && p.ready() {
					ready++
				}
			}
			least = min(least, ready)
		}
	}()
	return func() int { close(stop); return <-done }
}

// A restart that does not get ready fails in time, tells why, and leaves the
// others alone. Who asks learns it, too, when the supervisor dies meanwhile.
func TestRestartFails(t *testing.T) {
	name, path := newName(t), filepath.Join(t.TempDir(), "spec.json")
	marker := filepath.Join(t.TempDir(), "good")
	os.WriteFile(marker, nil, 0o644)
	writeJSON(t, path, deploymentOf(name, 2, map[string]any{
		"terminationGracePeriodSeconds": 3,
		"containers": []any{map[string]any{"name": "a", "image": newRoot(t), "command": []string{"probe", "hold"},
			"readinessProbe": map[string]any{"exec": map[string]any{"command": []string{"probe", "need", "/m/good"}}, "periodSeconds": 1},
			"volumeMounts":   []any{map[string]any{"name": "m", "mountPath": "/m"}}}},
		"volumes": []any{map[string]any{"name": "m", "hostPath": map[string]any{"path": filepath.Dir(marker)}}},
	}))
	pods := []string{name + "-0", name + "-1", name + "-2"}
	t.Cleanup(func() { peapod(t, append([]string{"pod", "rm", "-f"}, pods...)...).ok() })
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Until(t, func() string {
		if now := inspect(t, name+"-1"); now.ready() {
			return ""
		}
		return "not ready"
	})
	before := inspect(t, name+"-0")
	os.Remove(marker)
	peapod(t, "pod", "restart", "deployment/"+name, "--timeout", "1500ms").wants(1, name+"-2", "not ready", "the time is over", "pod logs "+name+"-2")
	if now := inspect(t, name+"-0"); !now.Status.StartTime.Equal(before.Status.StartTime) {
		t.Errorf("it was replaced: %+v", now.Status)
	}
	// What has helped in vain goes with the next success.
	os.WriteFile(marker, nil, 0o644)
	peapod(t, "pod", "restart", "deployment/"+name).ok()
	peapod(t, "pod", "inspect", name+"-2").wants(1, "no such pod")
	if now := inspect(t, name+"-0"); !now.Status.StartTime.After(before.Status.StartTime) {
		t.Error("it was not replaced")
	}
	os.Remove(marker)
	cmd := command(t, "pod", "restart", "deployment/"+name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, func() string {
		if peapod(t, "pod", "inspect", name+"-2").code == 0 {
			return ""
		}
		return "no pod helps"
	})
	unix.Kill(before.Status.Supervisor.PID, unix.SIGKILL)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "supervisor has died") {
		t.Errorf("status %d, %s", code, stderr.String())
	}
}

// deploymentOf is one with a label of its own.
func deploymentOf(name string, replicas int, spec map[string]any) map[string]any {
	labels := map[string]any{"app": name}
	return map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name}, "spec": map[string]any{
		"replicas": replicas, "selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec},
	}}
}
