package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/proc"
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

// A pod's life, as others see it. Each of these comes to be true once, when it
// starts, or when it ends.
type moment struct {
	name string
	come func(p *podTrace) bool
}

var starting = []moment{
	{"the lock is taken", func(p *podTrace) bool { _, err := p.supervisor(); return err == nil }},
	{"its data has a place", func(p *podTrace) bool { return p.data() }},
	{"its volume is mounted", func(p *podTrace) bool { return p.mounted("volumes/") }},
	{"its shared memory is mounted", func(p *podTrace) bool { return p.mounted("shm") }},
	{"its spec is registered", func(p *podTrace) bool { return p.state("pods", p.name, "pod.json") }},
	{"a container is registered", func(p *podTrace) bool { return p.state("containers", p.name+".a", "state.json") }},
	{"there is a cgroup", func(p *podTrace) bool { return p.group() }},
	{"a container's process is there", func(p *podTrace) bool { return p.state("containers", p.name+".a", "pid") }},
	{"the other's process is there", func(p *podTrace) bool { return p.state("containers", p.name+".b", "pid") }},
	{"it runs", func(p *podTrace) bool { return p.state("pods", p.name, "status.json") }},
}

var ending = []moment{
	{"it is asked to stop", func(p *podTrace) bool { return p.state("pods", p.name, "stop.json") }},
	{"a container has gone", func(p *podTrace) bool {
		return !p.state("containers", p.name+".a") || !p.state("containers", p.name+".b")
	}},
	{"both have gone", func(p *podTrace) bool {
		return !p.state("containers", p.name+".a") && !p.state("containers", p.name+".b")
	}},
	{"its end is registered", func(p *podTrace) bool { return strings.Contains(p.status(), "finishTime") }},
	{"its cgroup has gone", func(p *podTrace) bool { return !p.group() }},
	{"its shared memory is unmounted", func(p *podTrace) bool { return !p.mounted("shm") }},
}

var removing = []moment{
	{"its volume is unmounted", func(p *podTrace) bool { return !p.mounted("volumes/") }},
	{"its data has gone", func(p *podTrace) bool { return !p.data() }},
}

// podTrace is what is seen of a pod from outside, without a command.
type podTrace struct{ name string }

func (p *podTrace) state(path ...string) bool {
	_, err := os.Lstat(filepath.Join(append([]string{testkit.Scratch(), "state"}, path...)...))
	return err == nil
}

func (p *podTrace) data() bool {
	found, _ := filepath.Glob(filepath.Join(testkit.Scratch(), "data/pods", p.name+".*"))
	return len(found) > 0
}

// group tells whether the pod has a cgroup in any hierarchy.
func (p *podTrace) group() bool {
	one, _ := filepath.Glob("/sys/fs/cgroup/peapod/" + p.name + ".*")
	others, _ := filepath.Glob("/sys/fs/cgroup/*/peapod/" + p.name + ".*")
	return len(one)+len(others) > 0
}

func (p *podTrace) mounted(what string) bool {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		_, below, found := strings.Cut(line, "pods/"+p.name)
		if _, rest, _ := strings.Cut(below, "/"); found && strings.HasPrefix(rest, what) {
			return true
		}
	}
	return false
}

func (p *podTrace) status() string {
	text, _ := os.ReadFile(filepath.Join(testkit.Scratch(), "state/pods", p.name, "status.json"))
	return string(text)
}

// supervisor is the process that has signed the lock.
func (p *podTrace) supervisor() (proc.ID, error) {
	text, err := os.ReadFile(filepath.Join(testkit.Scratch(), "state/pods", p.name, "lock"))
	if err != nil {
		return proc.ID{}, err
	}
	return proc.Parse(text)
}

// run starts the pod and waits until its containers heed signals.
func (p *podTrace) run(t testing.TB, path string) {
	t.Helper()
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Eventually(t, "both containers are ready", func() bool {
		logs, _ := filepath.Glob(filepath.Join(testkit.Scratch(), "data/pods", p.name+".*", "logs/*.log"))
		ready := 0
		for _, log := range logs {
			if text, _ := os.ReadFile(log); strings.Contains(string(text), "ready") {
				ready++
			}
		}
		return ready == 2
	})
}

// killAt looks without a pause until a moment has come and kills a process then.
// It tells whether that still ran, and which later moments had come.
func (p *podTrace) killAt(t testing.TB, all []moment, i int, pid func() int) bool {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); !all[i].come(p); {
		if time.Now().After(end) {
			t.Fatalf("it never came that %s", all[i].name)
		}
	}
	if err := unix.Kill(pid(), unix.SIGKILL); err == unix.ESRCH {
		return false
	} else if err != nil {
		t.Fatalf("when %s: %v", all[i].name, err)
	}
	for _, later := range all[i+1:] {
		if later.come(p) {
			t.Logf("by then also: %s", later.name)
		}
	}
	return true
}

// atEach tries for each moment to kill what leads to it, until that was hit:
// some are the last before the process ends by itself.
func atEach(t *testing.T, all []moment, kill func(t *testing.T, p *podTrace, path string, i int) bool) {
	for i, m := range all {
		t.Run(m.name, func(t *testing.T) {
			for hit, tries := false, 0; !hit; tries++ {
				if tries == 10 {
					t.Fatal("it always ended before it could be killed")
				}
				name, path, port := crashSpec(t)
				hit = kill(t, &podTrace{name}, path, i)
				clear(t, name, port)
			}
		})
	}
}

// Whenever the supervisor is killed, pod rm -f removes everything.
func TestKilledWhileStarting(t *testing.T) {
	atEach(t, starting, func(t *testing.T, p *podTrace, path string, i int) bool {
		r := begin(t, command(t, "pod", "run", "-d", path))
		defer r.status()
		return p.killAt(t, starting, i, func() int { id, _ := p.supervisor(); return id.PID })
	})
}

func TestKilledWhileEnding(t *testing.T) {
	atEach(t, ending, func(t *testing.T, p *podTrace, path string, i int) bool {
		p.run(t, path)
		pid := supervisorPID(t, p.name)
		r := begin(t, command(t, "pod", "stop", p.name))
		defer r.status()
		return p.killAt(t, ending, i, func() int { return pid })
	})
}

// Whenever a removal is killed, another one removes the rest.
func TestRemovalKilled(t *testing.T) {
	atEach(t, removing, func(t *testing.T, p *podTrace, path string, i int) bool {
		p.run(t, path)
		peapod(t, "pod", "stop", p.name).ok()
		r := begin(t, command(t, "pod", "rm", p.name))
		defer r.status()
		return p.killAt(t, removing, i, func() int { return r.cmd.Process.Pid })
	})
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
