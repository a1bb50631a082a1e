package integration

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

func logged(t testing.TB, name, text string) {
	t.Helper()
	testkit.Eventually(t, name+" writes "+text, func() bool { return strings.Contains(peapod(t, "pod", "logs", name).ok(), text) })
}

// A pod that has ended starts again with its options, volumes and logs, without its
// file.
func TestPodStart(t *testing.T) {
	name, path := keeper(t)
	peapod(t, "pod", "run", "-d", path, "-e", "KEPT=yes").ok()
	logged(t, name, "start 1")
	peapod(t, "pod", "start", name).wants(0, "pod "+name+" runs already")
	peapod(t, "pod", "stop", "-t", "1", name).ok()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := peapod(t, "pod", "start", name).ok(); got != name {
		t.Errorf("start says %q", got)
	}
	logged(t, name, "start 2")
	logged(t, name, "start 1")
	if got := peapod(t, "pod", "exec", name, "probe", "env", "KEPT").ok(); got != "KEPT=yes" {
		t.Errorf("an option of the first run: %q", got)
	}
	if now := inspect(t, name); now.Status.Phase != "Running" {
		t.Errorf("%+v", now.Status)
	}
	peapod(t, "pod", "restart", name).ok()
	logged(t, name, "start 3")

	// Killed, it is started again too.
	killSupervisor(t, name)
	peapod(t, "pod", "start", name).ok()
	logged(t, name, "start 4")
	peapod(t, "pod", "rm", "-f", name).ok()
	nothingOf(t, name)
	peapod(t, "pod", "start", name).wants(1, "no such pod")
}

func killSupervisor(t testing.TB, name string) {
	t.Helper()
	p, err := os.FindProcess(inspect(t, name).Status.Supervisor.PID)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	testkit.Eventually(t, "its supervisor is gone", func() bool {
		return strings.Contains(peapod(t, "pod", "ps").ok(), "SupervisorLost")
	})
}

// A pod that cannot be started stays as it was, with its log.
func TestPodStartFails(t *testing.T) {
	port := freePort(t)
	c := probing("echo", "once", ";", "hold")
	c["ports"] = []map[string]any{{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}}
	name, path := podSpec(t, c)
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", name).ok() })
	peapod(t, "pod", "run", "-d", path).ok()
	logged(t, name, "once")
	peapod(t, "pod", "stop", "-t", "1", name).ok()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := inspect(t, name)
	peapod(t, "pod", "start", name).wants(1, fmt.Sprint(port), "in use")
	if after := inspect(t, name); after.Status.Phase != before.Status.Phase || !after.Status.StartTime.Equal(before.Status.StartTime) {
		t.Errorf("it was %+v and is %+v", before.Status, after.Status)
	}
	logged(t, name, "once")
	l.Close()
	peapod(t, "pod", "start", name).wants(0, fmt.Sprintf("listens at 127.0.0.1:%d", port))
}

// All that is left of a file starts again, with its services; what was applied last
// counts.
func TestPodStartFile(t *testing.T) {
	a := newApplied(t)
	peapod(t, "pod", "run", "-d", a.write()).ok()
	a.objects["deployment"]["spec"].(map[string]any)["replicas"] = 2
	peapod(t, "pod", "apply", a.write()).ok()
	third := newName(t)
	a.objects["pod"]["metadata"] = map[string]any{"name": third}
	if got := peapod(t, "pod", "apply", a.write()).ok(); !strings.Contains(got, "pod/"+a.other+" not in the file") {
		t.Errorf("apply: %q", got)
	}
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", a.other, third).ok() })

	// While another pod of the file runs its supervisor does it.
	peapod(t, "pod", "stop", "-t", "1", third).ok()
	if got := peapod(t, "pod", "start", third).ok(); got != third {
		t.Errorf("start of one of several: %q", got)
	}
	pid := inspect(t, third).Status.Supervisor.PID
	if other := inspect(t, a.other).Status.Supervisor.PID; other != pid {
		t.Errorf("another process, %d, has started it, not %d", pid, other)
	}
	peapod(t, "pod", "stop", "-t", "1", a.other, third, "deployment/"+a.name).ok()
	peapod(t, "pod", "rm", third).ok()
	got := peapod(t, "pod", "start", "deployment/"+a.name).ok()
	if got != strings.Join(a.pods(2), "\n") {
		t.Errorf("started: %q", got)
	}
	testkit.Eventually(t, "the service leads to them", func() bool {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", a.port))
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == 200
	})
	if now := inspect(t, a.other); now.Status.Phase == "Running" {
		t.Errorf("a pod of another file was started: %+v", now.Status)
	}
	if got := peapod(t, "pod", "start", "--all").ok(); got != a.other {
		t.Errorf("start --all: %q", got)
	}
}
