package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// state is what `state` and `list` print.
type state struct {
	OCIVersion, ID, Status, Bundle, Rootfs, Owner string
	Pid                                           int
	Created                                       time.Time
	Annotations                                   map[string]string
}

func stateOf(t testing.TB, id string) state {
	t.Helper()
	return decode[state](t, peapod(t, "state", id).ok())
}

// detached runs a container that waits for signals, in the background.
func detached(t testing.TB, change func(*specs.Spec), args ...string) (id string) {
	t.Helper()
	id = newName(t)
	if len(args) == 0 {
		args = []string{"wait"}
	}
	peapod(t, "run", "--detach", "--bundle", newBundle(t, change, args...), id).ok()
	return id
}

func TestLifecycle(t *testing.T) {
	id := newName(t)
	bundle := newBundle(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a": "b"} }, "wait")
	pidFile := filepath.Join(t.TempDir(), "pid")
	peapod(t, "create", "--bundle", bundle, "--pid-file", pidFile, id).ok()

	s := stateOf(t, id)
	if s.Status != "created" || s.Bundle != bundle || s.Owner != "root" || s.ID != id || s.OCIVersion != specs.Version ||
		s.Annotations["a"] != "b" || s.Rootfs == "" || time.Since(s.Created) > time.Minute {
		t.Errorf("state %+v", s)
	}
	if pid, _ := os.ReadFile(pidFile); string(pid) != strconv.Itoa(s.Pid) || s.Pid == 0 {
		t.Errorf("pid file %q, state %d", pid, s.Pid)
	}
	peapod(t, "create", "--bundle", bundle, id).wants(1, "already exists")
	peapod(t, "start", id).ok()
	if got := stateOf(t, id); got.Status != "running" || got.Pid != s.Pid {
		t.Errorf("state %+v", got)
	}
	peapod(t, "start", id).wants(1, id)
	peapod(t, "delete", id).wants(1, "not stopped")
	// The probe may not wait for signals yet.
	testkit.Eventually(t, "it ends", func() bool {
		peapod(t, "kill", id)
		return stateOf(t, id).Status == "stopped"
	})
	if s := stateOf(t, id); s.Pid != 0 {
		t.Errorf("the pid of a stopped container is %d", s.Pid)
	}
	peapod(t, "kill", id).wants(1, "container not running")
	peapod(t, "exec", id, "probe", "echo").wants(255, "not running")
	peapod(t, "delete", id).ok()
	peapod(t, "state", id).wants(1, "does not exist")
	peapod(t, "delete", id).wants(1, "does not exist")
	peapod(t, "delete", "--force", id).ok()
}

func TestDeleteCreated(t *testing.T) {
	id := newName(t)
	peapod(t, "create", "-b", newBundle(t, nil, "wait"), id).ok()
	peapod(t, "delete", id).ok()
	peapod(t, "state", id).wants(1, "does not exist")
}

func TestDeleteForce(t *testing.T) {
	id := detached(t, nil)
	peapod(t, "delete", id, "--force").ok() // in runc's other order
	peapod(t, "state", id).wants(1)
}

func TestKillSignals(t *testing.T) {
	for _, signal := range []string{"TERM", "SIGTERM", "term", "15", ""} {
		id := newName(t)
		p := begin(t, command(t, "run", "-b", newBundle(t, nil, "wait"), id))
		p.sees("ready")
		args := []string{"kill", id}
		if signal != "" {
			args = append(args, signal)
		}
		peapod(t, args...).ok()
		if code := p.status(); code != 0 {
			t.Errorf("kill %s: status %d", signal, code)
		}
	}
	id := detached(t, nil)
	peapod(t, "kill", id, "NOPE").wants(1, `"NOPE"`)
	peapod(t, "kill", "--all", id, "KILL").ok()
	testkit.Eventually(t, "it ends", func() bool { return stateOf(t, id).Status == "stopped" })
}

// Without a pid namespace of its own the kernel does not end the others.
func TestKillWithoutPidNamespace(t *testing.T) {
	id := detached(t, func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	})
	peapod(t, "exec", "--detach", id, "probe", "wait").ok()
	if pids := decode[[]int](t, peapod(t, "ps", "--format", "json", id).ok()); len(pids) != 2 {
		t.Fatalf("processes %v", pids)
	}
	peapod(t, "kill", id, "KILL").ok()
	testkit.Eventually(t, "all end", func() bool {
		return peapod(t, "ps", "--format", "json", id).ok() == "[]" && stateOf(t, id).Status == "stopped"
	})
}

func TestList(t *testing.T) {
	a, b := detached(t, nil), detached(t, nil)
	peapod(t, "kill", b, "KILL").ok()
	testkit.Eventually(t, "it ends", func() bool { return stateOf(t, b).Status == "stopped" })
	if got := strings.Fields(peapod(t, "list", "--quiet").ok()); !slices.Equal(got, []string{a, b}) {
		t.Errorf("list -q: %q", got)
	}
	lines := strings.Split(peapod(t, "list").ok(), "\n")
	if head := strings.Fields(lines[0]); !slices.Equal(head, []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}) || len(lines) != 3 {
		t.Errorf("list: %q", lines)
	}
	if f := strings.Fields(lines[2]); f[0] != b || f[1] != "0" || f[2] != "stopped" || f[5] != "root" {
		t.Errorf("list: %q", lines[2])
	}
	list := decode[[]map[string]json.RawMessage](t, peapod(t, "list", "--format", "json").ok())
	for _, key := range []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"} {
		if list[0][key] == nil {
			t.Errorf("list --format json has no %s: %v", key, list[0])
		}
	}
	peapod(t, "list", "--format", "xml").wants(1, "table or json")
	empty := t.TempDir()
	if got := peapod(t, "--root", empty, "list", "-f", "json").ok(); got != "[]" {
		t.Errorf("without containers: %q", got)
	}
}

func TestPs(t *testing.T) {
	id := detached(t, nil)
	pid := stateOf(t, id).Pid
	if got := decode[[]int](t, peapod(t, "ps", "-f", "json", id).ok()); !slices.Equal(got, []int{pid}) {
		t.Errorf("ps: %v, want %d", got, pid)
	}
	if _, err := exec.LookPath("ps"); err != nil {
		return // the table is made by it
	}
	table := peapod(t, "ps", id).ok()
	if lines := strings.Split(table, "\n"); len(lines) != 2 || !strings.Contains(lines[1], "probe wait") {
		t.Errorf("ps: %q", table)
	}
	if got := strings.Fields(peapod(t, "ps", id, "-A", "-o", "pid,comm").ok()); !slices.Equal(got, []string{"PID", "COMMAND", strconv.Itoa(pid), "probe"}) {
		t.Errorf("ps -o pid,comm: %q", got)
	}
}
