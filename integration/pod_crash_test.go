package integration

import (
	"encoding/json"
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
	"golang.org/x/sys/unix"
)

// crashSpec is a pod with all that could stay: mounts, a host port, processes
// that do not end by themselves.
func crashSpec(t testing.TB) (name, path string, port int) {
	t.Helper()
	port = freePort(t)
	a := probing("stderr", "hello", ";", "wait")
	a["ports"] = []map[string]any{{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}}
	a["volumeMounts"] = []map[string]any{{"name": "memory", "mountPath": "/memory"}, {"name": "disk", "mountPath": "/disk"}}
	name, path = podSpec(t, a, probing("wait"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spec := decode[map[string]any](t, string(data))
	spec["spec"].(map[string]any)["volumes"] = []map[string]any{
		{"name": "memory", "emptyDir": map[string]any{"medium": "Memory"}}, {"name": "disk", "emptyDir": map[string]any{}},
	}
	writeJSON(t, path, spec)
	return name, path, port
}

// supervisorOf finds the supervisor that a command has started: its child.
func supervisorOf(cmd *exec.Cmd) int {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		for _, task := range tasks {
			children, _ := os.ReadFile(task)
			if fields := strings.Fields(string(children)); len(fields) > 0 {
				pid, _ := strconv.Atoi(fields[0])
				return pid
			}
		}
		if cmd.ProcessState != nil {
			return 0
		}
	}
	return 0
}

// Whenever the supervisor is killed, pod rm -f removes everything.
func TestSupervisorKilled(t *testing.T) {
	const points = 12 // 0 to 33 ms after its start, which takes about 20
	for i := range points {
		t.Run(fmt.Sprintf("starting %d ms", 3*i), func(t *testing.T) {
			name, path, port := crashSpec(t)
			cmd := command(t, "pod", "run", "-d", path)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := supervisorOf(cmd)
			time.Sleep(time.Duration(3*i) * time.Millisecond)
			if pid > 0 {
				unix.Kill(pid, unix.SIGKILL)
			}
			cmd.Wait()
			clear(t, name, port)
		})
	}
	for i := range 6 {
		t.Run(fmt.Sprintf("stopping %d ms", 4*i), func(t *testing.T) {
			name, path, port := crashSpec(t)
			peapod(t, "pod", "run", "-d", path).ok()
			pid := supervisorPID(t, name)
			if i > 0 {
				unix.Kill(pid, unix.SIGTERM)
			}
			time.Sleep(time.Duration(4*(i-1)) * time.Millisecond)
			unix.Kill(pid, unix.SIGKILL)
			clear(t, name, port)
		})
	}
}

func supervisorPID(t testing.TB, name string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testkit.Scratch(), "state", "pods", name, "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	var status struct{ Supervisor struct{ PID int } }
	if err := json.Unmarshal(data, &status); err != nil {
		t.Fatal(err)
	}
	return status.Supervisor.PID
}

// clear removes a pod and checks that all is gone: processes, mounts, cgroups,
// registrations, data, the host port.
func clear(t testing.TB, name string, port int) {
	t.Helper()
	peapod(t, "pod", "rm", "-f", name).ok()
	nothingOf(t, name)
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		c.Close()
		t.Error("the host port is still open")
	}
	testkit.Until(t, func() string { return strings.Join(testkit.Children(), "\n") })
}

// While a pod is removed, another command may do the same.
func TestRemoveTwice(t *testing.T) {
	for range 5 {
		name, path, port := crashSpec(t)
		peapod(t, "pod", "run", "-d", path).ok()
		unix.Kill(supervisorPID(t, name), unix.SIGKILL)
		other := begin(t, command(t, "pod", "rm", "-f", name))
		r := peapod(t, "pod", "rm", "-f", name)
		if code := other.status(); code != 0 && r.code != 0 {
			t.Errorf("both failed: %s %s", r.stderr, other.seen.String())
		}
		clear(t, name, port)
	}
}

// Many pods come and go, some at a time, and leave nothing.
func TestManyPods(t *testing.T) {
	const pods, atATime = 200, 8
	image := newRoot(t)
	dir := t.TempDir()
	before := testkit.Held()
	begun := time.Now()
	failures := make(chan string, pods)
	slots := make(chan struct{}, atATime)
	for i := range pods {
		slots <- struct{}{}
		name := fmt.Sprintf("%smany-%d", testkit.Mark, i)
		path := filepath.Join(dir, name+".json")
		writeJSON(t, path, map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"restartPolicy": "Never", "containers": []container{
				{"name": "a", "image": image, "command": []string{"probe", "wait"}},
				{"name": "b", "image": image, "command": []string{"probe", "echo", "hello"}},
			}},
		})
		go func() {
			defer func() { <-slots }()
			for _, args := range [][]string{{"pod", "run", "-d", path}, {"pod", "rm", "-f", name}} {
				if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
					failures <- fmt.Sprintf("%v: %v\n%s", args, err, out)
				}
			}
		}()
	}
	for range atATime {
		slots <- struct{}{}
	}
	close(failures)
	for f := range failures {
		t.Error(f)
	}
	t.Logf("%d pods of two containers, %d at a time: %s", pods, atATime, time.Since(begun).Round(time.Millisecond))
	before.Check(t)
	if left := registered(); len(left) > 0 {
		t.Errorf("left over:\n%s", strings.Join(left, "\n"))
	}
}
