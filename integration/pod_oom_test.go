package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// TestPodOOMKilled: a container that takes more memory than it may is said to
// have done so, everywhere.
func TestPodOOMKilled(t *testing.T) {
	needController(t, "memory", "memory")
	name := newName(t)
	file := t.TempDir() + "/pod.json"
	writeJSON(t, file, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{
			"name": "greedy", "image": "/", "command": []string{"/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"},
			"resources": map[string]any{"limits": map[string]any{"memory": "32Mi"}},
		}}},
	})
	r := peapod(t, "pod", "run", file)
	r.wants(137, "greedy exited with status 137 (SIGKILL), killed for lack of memory: its memory limit is 32Mi")
	peapod(t, "pod", "run", "-d", file) // which may end before it is seen to run
	testkit.Eventually(t, "it ends", func() bool { return strings.Contains(peapod(t, "pod", "ps").ok(), "OOMKilled") })
	if got := peapod(t, "pod", "ps", "-o", "wide").ok(); !strings.Contains(got, "greedy=OOMKilled") {
		t.Errorf("ps: %s", got)
	}
	type status struct {
		Status struct {
			ContainerStatuses []struct {
				State struct {
					Terminated struct {
						Reason   string
						ExitCode int
					}
				}
			}
		}
	}
	s := decode[status](t, peapod(t, "pod", "inspect", name).ok()).Status.ContainerStatuses[0].State.Terminated
	if s.Reason != "OOMKilled" || s.ExitCode != 137 {
		t.Errorf("inspect: %+v", s)
	}
	peapod(t, "pod", "rm", "-f", name).ok()
}

// TestPodOOMKilledAtOnce: no more than 100 ms lie between the kernel's kill and the
// line that tells of it. One of three is enough on a machine that has more to do.
func TestPodOOMKilledAtOnce(t *testing.T) {
	needController(t, "memory", "memory")
	var took time.Duration
	for range 3 {
		if took = tellsOOM(t); took <= 100*time.Millisecond {
			t.Logf("told %v after the kill", took.Round(100*time.Microsecond))
			return
		}
	}
	t.Errorf("told %v after the kill", took)
}

// tellsOOM runs a pod whose container takes too much memory when it is told to.
func tellsOOM(t *testing.T) time.Duration {
	t.Helper()
	name := newName(t)
	file := t.TempDir() + "/pod.json"
	writeJSON(t, file, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"restartPolicy": "Never", "containers": []any{map[string]any{
			"name": "greedy", "image": "/", "command": []string{"/bin/sh", "-c",
				"mkfifo /tmp/go; echo waits; read x < /tmp/go; exec dd if=/dev/zero of=/dev/null bs=200M count=1"},
			"resources": map[string]any{"limits": map[string]any{"memory": "32Mi"}},
		}}},
	})
	pod := begin(t, command(t, "pod", "run", file))
	pod.sees("waits")
	found := testkit.Groups(name)
	if len(found) == 0 {
		t.Fatal("the pod has no cgroup")
	}
	g, err := cgroups.Load(found[0][strings.Index(found[0], "/peapod/"):] + "/greedy")
	if err != nil {
		t.Fatal(err)
	}
	// The kill is no earlier than the last look that did not see it.
	killed, stop := make(chan time.Time, 1), make(chan struct{})
	defer close(stop)
	go func() {
		for last := time.Now(); ; time.Sleep(time.Millisecond) {
			now := time.Now()
			if o, err := g.OOM(); err == nil && o.Kills > 0 {
				killed <- last
				return
			}
			last = now
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	peapod(t, "pod", "exec", name, "--", "/bin/sh", "-c", "echo > /tmp/go").ok()
	pod.sees("greedy exited with status 137 (SIGKILL), killed for lack of memory")
	told := time.Now()
	if code := pod.status(); code != 137 {
		t.Errorf("status %d", code)
	}
	select {
	case at := <-killed:
		return told.Sub(at)
	default:
		t.Error("the group did not count the kill before it went")
		return 0
	}
}
