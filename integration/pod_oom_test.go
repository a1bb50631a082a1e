package integration

import (
	"strings"
	"testing"

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
