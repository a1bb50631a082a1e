package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// The process that registered a service is killed. Others that supervise pods of
// it take it over, one after the other, with its address and its host port; with
// the last of them it goes.
func TestServiceIsInherited(t *testing.T) {
	name, path, port := serviceManifest(t, 1)
	peapod(t, "pod", "run", "-d", path).ok()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	image := newRoot(t)
	var others []string
	for range 2 {
		pod := newName(t)
		file := filepath.Join(t.TempDir(), "pod.json")
		writeJSON(t, file, map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": pod, "labels": map[string]any{"app": name}},
			"spec": map[string]any{"terminationGracePeriodSeconds": 5, "containers": []any{map[string]any{
				"name": "web", "image": image, "command": []string{"probe", "listen", "0.0.0.0:80", pod, ";", "hold"},
				"ports": []any{map[string]any{"name": "http", "containerPort": 80}},
			}}}})
		peapod(t, "pod", "run", "-d", file).ok()
		others = append(others, pod)
	}
	testkit.Until(t, func() string { return missing(who(address), append([]string{name + "-0"}, others...)...) })
	supervisors := map[string]int{}
	for _, pod := range append([]string{name + "-0"}, others...) {
		supervisors[pod] = inspect(t, pod).Status.Supervisor.PID
	}
	before := serviceNow(t, "s"+name)
	if before.PID != supervisors[name+"-0"] {
		t.Fatalf("%+v", before)
	}
	unix.Kill(before.PID, unix.SIGKILL)
	testkit.Until(t, func() string { return missing(who(address), others...) })
	after := serviceNow(t, "s"+name)
	if after.Service.Spec != before.Service.Spec || after.PID != supervisors[others[0]] && after.PID != supervisors[others[1]] {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	// Who clears up after the dead leaves it alone.
	peapod(t, "pod", "rm", name+"-0").ok()
	first, last := others[0], others[1]
	if after.PID == supervisors[last] {
		first, last = last, first
	}
	// The new owner ends in peace: the next one takes it over.
	peapod(t, "pod", "stop", first).ok()
	testkit.Until(t, func() string { return missing(who(address), last) })
	if now := serviceNow(t, "s"+name); now.PID != supervisors[last] || now.Service.Spec != before.Service.Spec {
		t.Errorf("before %+v\nnow %+v", before, now)
	}
	peapod(t, "pod", "stop", last).ok()
	peapod(t, "service", "inspect", "s"+name).wants(1, "no such service")
	peapod(t, "pod", "rm", first, last).ok()
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("PEAPOD_ROOT"), "services", "*")); len(left) > 0 {
		t.Errorf("left: %q", strings.Join(left, " "))
	}
}

// serviceStatus is what is looked at of a service in its file.
type serviceStatus struct {
	PID     int
	Service struct {
		Spec struct{ ClusterIP string }
	}
}

func serviceNow(t testing.TB, name string) serviceStatus {
	t.Helper()
	return decode[serviceStatus](t, read(t, filepath.Join(os.Getenv("PEAPOD_ROOT"), "services", name, "service.json")))
}
