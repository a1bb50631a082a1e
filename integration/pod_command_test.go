package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
	"golang.org/x/sys/unix"
)

// container is one of a pod spec of podSpec.
type container map[string]any

// podSpec writes a spec whose containers run the probe of a new image.
func podSpec(t testing.TB, containers ...container) (name, path string) {
	t.Helper()
	name = newName(t)
	root := newRoot(t)
	for i, c := range containers {
		if c["name"] == nil {
			c["name"] = string(rune('a' + i))
		}
		if c["image"] == nil {
			c["image"] = root
		}
	}
	path = filepath.Join(t.TempDir(), "pod.json")
	writeJSON(t, path, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": containers},
	})
	return name, path
}

func probing(args ...string) container {
	return container{"command": append([]string{"probe"}, args...)}
}

func TestPodFailures(t *testing.T) {
	_, path := podSpec(t, container{"command": []string{"nope"}})
	peapod(t, "pod", "run", path).wants(127, `"nope"`, path+":1:")
	peapod(t, "pod", "run", "-d", path).wants(127, `"nope"`)
	_, path = podSpec(t, container{"command": []string{"/etc"}})
	peapod(t, "pod", "run", path).wants(126, "/etc")
	peapod(t, "pod", "run", filepath.Join(t.TempDir(), "none.json")).wants(1, "none.json")
	_, path = podSpec(t, probing("echo"))
	peapod(t, "pod", "run", "--arg", "zz=1", path).wants(1, `"zz"`)
	peapod(t, "pod", "run", "--arg", "zz", path).wants(1, "CONTAINER=ARG")
	peapod(t, "pod", "run", "--env", "=1", path).wants(1, "NAME=VALUE")
	peapod(t, "pod", "run", "--name", "Not/A/Name", path).wants(1, "Not/A/Name")
	for _, args := range [][]string{{"inspect"}, {"logs"}, {"stop"}, {"rm"}, {"wait"}, {"port"}} {
		peapod(t, "pod", args[0], testkit.Mark+"none").wants(1, testkit.Mark+"none")
	}
	peapod(t, "pod", "exec", testkit.Mark+"none", "probe").wants(1, testkit.Mark+"none")
	peapod(t, "pod", "rm", "--force", testkit.Mark+"none").ok()
	peapod(t, "pod", "ps", "-o", "xml").wants(1, "table, wide, json, yaml or name")
}

// freePort is one that nobody listens on right now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestPodDetached(t *testing.T) {
	port := freePort(t)
	server := probing("listen", "127.0.0.1:80", "served", ";", "stderr", "complaint", ";", "wait")
	server["ports"] = []map[string]any{{"name": "http", "containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}}
	name, path := podSpec(t, server, probing("wait"))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	r := peapod(t, "pod", "run", "--detach", path)
	if r.ok() != name || !strings.Contains(r.stderr, address) {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	peapod(t, "pod", "run", "-d", path).wants(1, name, "exists")

	if got := peapod(t, "pod", "port", name).ok(); got != "a 80/tcp -> "+address {
		t.Errorf("port: %q", got)
	}
	for _, which := range []string{"80", "http"} {
		if got := peapod(t, "pod", "port", name, which).ok(); got != address {
			t.Errorf("port %s: %q", which, got)
		}
	}
	peapod(t, "pod", "port", name, "81").wants(1, "81")

	if got := peapod(t, "pod", "ps", "-q").ok(); got != name {
		t.Errorf("ps -q: %q", got)
	}
	row := regexp.MustCompile(`^` + name + ` +2/2 +Running +0 +\d+s +[\d.]+[KM]?(/[\d.]+[KM])? +` + address + `->80/tcp$`)
	if lines := strings.Split(peapod(t, "pod", "ps").ok(), "\n"); len(lines) != 2 || !row.MatchString(lines[1]) ||
		strings.Join(strings.Fields(lines[0]), " ") != "NAME READY STATUS RESTARTS AGE MEMORY PORTS" {
		t.Errorf("ps: %q", lines)
	}
	if got := peapod(t, "pod", "ps", "-o", "wide").ok(); !strings.Contains(got, "a=running,b=running") {
		t.Errorf("ps -o wide: %q", got)
	}
	list := decode[struct {
		Kind  string
		Items []map[string]json.RawMessage
	}](t, peapod(t, "pod", "ps", "-o", "json").ok())
	if list.Kind != "PodList" || len(list.Items) != 1 || list.Items[0]["spec"] == nil || list.Items[0]["status"] == nil {
		t.Errorf("ps -o json: %+v", list)
	}
	if r := decode[report.Process](t, peapod(t, "pod", "exec", name, "probe", "report").ok()); r.Status["SigIgn"] != ignored(t) {
		t.Errorf("signals are ignored: %s", r.Status["SigIgn"])
	}
	if status := read(t, fmt.Sprintf("/proc/%d/status", stateOf(t, name+".a").Pid)); !strings.Contains(status, "SigIgn:\t"+ignored(t)) {
		t.Errorf("signals are ignored:\n%s", status)
	}
	inspected := decode[struct {
		Kind   string
		Status struct {
			Phase      string
			Supervisor struct{ Log string }
		}
	}](t, peapod(t, "pod", "inspect", name).ok())
	if inspected.Kind != "Pod" || inspected.Status.Phase != "Running" {
		t.Errorf("inspect: %+v", inspected)
	}
	if _, err := os.Stat(inspected.Status.Supervisor.Log); err != nil {
		t.Errorf("the supervisor's log: %v", err)
	}

	testkit.Eventually(t, "all has been logged", func() bool {
		r := peapod(t, "pod", "logs", name)
		return strings.Contains(r.ok(), "a | ready") && strings.Contains(r.stdout, "b | ready") && r.stderr == "a | complaint\n"
	})
	if got := peapod(t, "pod", "logs", "-c", "b", name).ok(); got != "ready" {
		t.Errorf("logs -c: %q", got)
	}
	// Which of two streams is read first is not told; three lines were written.
	if r := peapod(t, "pod", "logs", "-c", "a", "--tail", "1", name); len(r.stdout)+len(r.stderr) == 0 || strings.Contains(r.stdout, "listening") {
		t.Errorf("logs --tail: %q, %q", r.stdout, r.stderr)
	}
	if got := peapod(t, "pod", "logs", "--timestamps", "-c", "b", name).ok(); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+Z ready$`).MatchString(got) {
		t.Errorf("logs --timestamps: %q", got)
	}
	follower := begin(t, command(t, "pod", "logs", name, "-f", "-n", "1"))
	follower.sees("ready")
	waiter := begin(t, command(t, "pod", "wait", name))

	peapod(t, "pod", "rm", name).wants(1, "running", "peapod pod rm -f "+name)
	peapod(t, "pod", "stop", "-t", "-1", name).wants(1, "0 or more")
	peapod(t, "pod", "stop", "-t", "5", name).ok()
	if code := follower.status(); code != 0 {
		t.Errorf("logs -f: status %d", code)
	}
	if code := waiter.status(); code != 0 {
		t.Errorf("wait: status %d", code)
	}
	peapod(t, "pod", "stop", name).wants(0, name+" has ended already")
	if got := peapod(t, "pod", "ps").ok(); !strings.Contains(got, "Succeeded") || strings.Contains(got, address) {
		t.Errorf("ps: %q", got)
	}
	if got := peapod(t, "pod", "port", name).ok(); got != "" {
		t.Errorf("port: %q", got)
	}
	peapod(t, "pod", "port", name, "80").wants(1, "has ended")
	peapod(t, "pod", "rm", name).ok()
	peapod(t, "pod", "wait", name).wants(1, name)
}

// The same address everywhere, also without a hostIP.
func TestPodAddress(t *testing.T) {
	port := freePort(t)
	server := probing("wait")
	server["ports"] = []map[string]any{{"containerPort": 80, "hostPort": port}}
	name, path := podSpec(t, server)
	address := fmt.Sprintf("0.0.0.0:%d", port)
	peapod(t, "pod", "run", "-d", path).wants(0, "listens at "+address)
	if got := peapod(t, "pod", "port", name, "80").ok(); got != address {
		t.Errorf("port: %q", got)
	}
	if got := peapod(t, "pod", "ps").ok(); !strings.Contains(got, " "+address+"->80/tcp") {
		t.Errorf("ps: %q", got)
	}
	peapod(t, "pod", "rm", "-f", name).ok()
	p := begin(t, command(t, "pod", "run", path))
	p.sees("listens at " + address)
	p.cmd.Process.Signal(unix.SIGTERM)
	p.status()
}

func TestPodWaitStatus(t *testing.T) {
	name, path := podSpec(t, probing("exit", "7"))
	peapod(t, "pod", "run", "-d", path).ok()
	peapod(t, "pod", "wait", name).wants(7)
	if got := peapod(t, "pod", "ps").ok(); !strings.Contains(got, "Failed(7)") {
		t.Errorf("ps: %q", got)
	}
}

func TestPodExec(t *testing.T) {
	b := probing("wait")
	b["env"] = []map[string]string{{"name": "WHO", "value": "b"}}
	name, path := podSpec(t, probing("wait"), b)
	peapod(t, "pod", "run", "-d", path).ok()
	peapod(t, "pod", "exec", name, "probe", "exit", "5").wants(5)
	peapod(t, "pod", "exec", name, "--", "probe", "die", "15").wants(128 + 15)
	peapod(t, "pod", "exec", name, "nope").wants(127, `"nope"`, "not found")
	peapod(t, "pod", "exec", name, "/etc").wants(126, "/etc")
	peapod(t, "pod", "exec", "-c", "zz", name, "probe").wants(1, `"zz"`)
	peapod(t, "pod", "exec", "-u", "root", name, "probe").wants(1, "--user")
	peapod(t, "pod", "exec", name).wants(1, "usage")
	if got := peapod(t, "pod", "exec", name, "probe", "echo", "-c", "--", "-i").ok(); got != "-c -- -i" {
		t.Errorf("%q", got)
	}
	r := decode[report.Process](t, peapod(t, "pod", "exec", name, "-c", "b", "-e", "A= 1", "-u", "7:8", "-w", "/tmp", "--", "probe", "report").ok())
	if env := strings.Join(r.Env, "|"); !strings.Contains(env, "WHO=b") || !strings.Contains(env, "A= 1") || r.UID != 7 || r.GID != 8 || r.Cwd != "/tmp" {
		t.Errorf("%+v", r)
	}
	if got := feed(t, strings.NewReader("typed"), "pod", "exec", "-i", name, "probe", "copy").ok(); got != "typed" {
		t.Errorf("with -i: %q", got)
	}
	if got := feed(t, strings.NewReader("typed"), "pod", "exec", name, "probe", "copy").ok(); got != "" {
		t.Errorf("without -i: %q", got)
	}
	alone := command(t, "pod", "exec", "-t", name, "probe")
	alone.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	finish(t, alone).wants(1, "there is no terminal here: leave out -t")
	p, master, _ := onTerminal(t, "pod", "exec", "-it", name, "probe", "wait", ";", "exit", "6")
	p.sees("ready")
	master.Write([]byte{3})
	p.sees("SIGINT")
	if code := p.status(); code != 6 {
		t.Errorf("on a terminal: status %d", code)
	}
}

// ignored are the signals that this process was left to ignore, and so its
// children.
func ignored(t *testing.T) string {
	t.Helper()
	_, after, _ := strings.Cut(read(t, "/proc/self/status"), "SigIgn:\t")
	set, _, _ := strings.Cut(after, "\n")
	return set
}
