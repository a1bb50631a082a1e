package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// manifest writes objects for his pods to be made of. What runs when the test
// ends is removed.
func (o *ordinary) manifest(objects ...map[string]any) string {
	o.t.Helper()
	dir, err := os.MkdirTemp(o.home, "manifest")
	if err != nil {
		o.t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	path := filepath.Join(dir, "pods.json")
	writeJSON(o.t, path, map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	for _, object := range objects {
		if name := object["metadata"].(map[string]any)["name"].(string); object["kind"] == "Pod" {
			o.t.Cleanup(func() { o.granted("pod", "rm", "--force", name) })
		}
	}
	return path
}

// pod is one of containers of an image of his.
func (o *ordinary) pod(name string, volumes []map[string]any, containers ...container) map[string]any {
	image := o.image()
	for i, c := range containers {
		c["name"], c["image"] = string(rune('a'+i)), image
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "labels": map[string]any{"app": name}},
		"spec": map[string]any{"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "volumes": volumes, "containers": containers},
	}
}

var bothVolumes = []map[string]any{
	{"name": "disk", "emptyDir": map[string]any{}}, {"name": "memory", "emptyDir": map[string]any{"medium": "Memory"}},
}

func volumesAt(paths ...string) (list []map[string]any) {
	for i := 0; i < len(paths); i += 2 {
		list = append(list, map[string]any{"name": paths[i], "mountPath": paths[i+1]})
	}
	return list
}

// gone fails the test where something of his is left.
func (o *ordinary) gone() {
	o.t.Helper()
	testkit.Until(o.t, o.left)
}

// A pod's life in the hands of an ordinary user: its containers share the
// network, volumes and memory, and are reached from the host.
func TestRootlessPod(t *testing.T) {
	o := newOrdinary(t)
	port := freePort(t)
	server := probing("listen", "127.0.0.1:80", "served", ";", "stderr", "complaint", ";", "create", "/disk/x", "from a", ";", "create", "/memory/x", "from a", ";",
		"create", "/dev/shm/x", "shared", ";", "stubborn")
	server["ports"] = []map[string]any{{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}}
	server["volumeMounts"] = volumesAt("disk", "/disk", "memory", "/memory")
	other := probing("wait")
	other["volumeMounts"] = volumesAt("disk", "/disk", "memory", "/memory")
	path := o.manifest(o.pod("p", bothVolumes, server, other))

	if got := o.peapod("pod", "run", "-d", path).ok(); got != "p" {
		t.Errorf("pod run -d says %q", got)
	}
	if got := o.peapod("pod", "ps", "-q").ok(); got != "p" {
		t.Errorf("pod ps says %q", got)
	}
	testkit.Eventually(t, "the server has written", func() bool {
		return strings.Contains(o.peapod("pod", "logs", "p").stdout+o.peapod("pod", "logs", "p").stderr, "complaint")
	})
	if got := answer(fmt.Sprintf("127.0.0.1:%d", port)); !strings.Contains(got, "served") {
		t.Errorf("its host port says %q", got)
	}
	testkit.Eventually(t, "all is shared", func() bool {
		got := o.peapod("pod", "exec", "-c", "b", "p", "--", "probe", "cat", "/disk/x", ";", "cat", "/memory/x", ";", "cat", "/dev/shm/x", ";", "id").ok()
		return strings.HasPrefix(got, lines("from a", "from a", "shared", "0:0"))
	})
	o.peapod("pod", "stop", "-t", "0", "p").ok()
	o.peapod("pod", "rm", "p").ok()
	o.gone()
}

// Services lead to his pods, by name too, from each other and from the host.
func TestRootlessService(t *testing.T) {
	o := newOrdinary(t)
	node := 30000 + freePort(t)%2768
	service := map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "back"},
		"spec": map[string]any{"type": "NodePort", "selector": map[string]any{"app": "server"}, "ports": []map[string]any{{"port": 80, "targetPort": 8080, "nodePort": node}}},
	}
	path := o.manifest(service,
		o.pod("server", nil, probing("listen", "0.0.0.0:8080", "served", ";", "wait")),
		o.pod("client", nil, probing("wait")))
	o.peapod("pod", "run", "-d", path).ok()
	testkit.Eventually(t, "the client has reached the service", func() bool {
		return strings.Contains(o.peapod("pod", "exec", "client", "--", "probe", "connect", "back:80").stdout, "served")
	})
	testkit.Eventually(t, "the host reaches it", func() bool {
		return strings.Contains(answer(fmt.Sprintf("127.0.0.1:%d", node)), "served")
	})
	o.peapod("pod", "rm", "--force", "client", "server").ok()
	o.gone()
}

// With ranges of ids there are other users in a pod, and what they have written
// goes with it.
func TestRootlessPodRanges(t *testing.T) {
	needCommand(t, "newuidmap")
	o := newOrdinary(t)
	writer := probing("id", ";", "create", "/disk/x", "x", ";", "mkdir", "/memory/x", ";", "create", "/tmp/x", "x", ";", "stat", "/disk", ";", "stat", "/memory")
	writer["securityContext"] = map[string]any{"runAsUser": 33, "runAsGroup": 34}
	writer["volumeMounts"] = volumesAt("disk", "/disk", "memory", "/memory")
	pod := o.pod("p", bothVolumes, writer)
	pod["spec"].(map[string]any)["securityContext"] = map[string]any{"fsGroup": 2000}
	os.Chmod(filepath.Join(writer["image"].(string), "tmp"), 0o777)
	path := o.manifest(pod)
	got := o.granted("pod", "run", path).ok()
	for _, want := range []string{"33:34 [2000]", "dir 02777 0:2000", "ok"} {
		if !strings.Contains(got, want) {
			t.Errorf("it says %q, which has no %q", got, want)
		}
	}
	if strings.Contains(got, "EACCES") || strings.Count(got, "02777") != 2 {
		t.Errorf("it says %q", got)
	}
	o.gone()
	// Without the grant there is but one user.
	o.peapod("pod", "run", path).wants(1, "securityContext.runAsUser", "user 33")
	o.gone()
}

// What an ordinary user cannot have is refused before anything is made.
func TestRootlessPodRefusals(t *testing.T) {
	o := newOrdinary(t)
	limited := probing("echo")
	limited["resources"] = map[string]any{"limits": map[string]any{"memory": "64Mi"}}
	low := probing("echo")
	low["ports"] = []map[string]any{{"containerPort": 80, "hostPort": 7, "hostIP": "127.0.0.1"}}
	part := probing("echo")
	part["volumeMounts"] = []map[string]any{{"name": "memory", "mountPath": "/x", "subPath": "y"}}
	for name, c := range map[string]struct {
		pod  map[string]any
		args []string
		want []string
	}{
		"limits":  {o.pod("p", nil, limited), nil, []string{"resources.limits", "cgroup"}},
		"network": {o.pod("p", nil, probing("echo")), []string{"--network", "bridge"}, []string{"network bridge", "only root"}},
		"port":    {o.pod("p", nil, low), nil, []string{"hostPort", "ip_unprivileged_port_start"}},
		"subPath": {o.pod("p", bothVolumes, part), nil, []string{"volumeMounts[0].subPath", "only root"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := o.with(t)
			o.peapod(append(append([]string{"pod", "run"}, c.args...), o.manifest(c.pod))...).wants(1, c.want...)
			o.gone()
		})
	}
}

// On the host's network there is sysfs all the same.
func TestRootlessPodOnHost(t *testing.T) {
	o := newOrdinary(t)
	path := o.manifest(o.pod("p", nil, probing("mkdir", "/sys/x", ";", "ls", "/sys/class")))
	if got := o.peapod("pod", "run", "--network", "host", path).ok(); !strings.Contains(got, "EROFS") || !strings.Contains(got, "net") {
		t.Errorf("it says %q", got)
	}
	o.gone()
}

// A supervisor that is killed takes its containers along, and what it leaves has
// a name.
func TestRootlessPodKilled(t *testing.T) {
	o := newOrdinary(t)
	a := probing("stderr", "hello", ";", "wait")
	a["volumeMounts"] = volumesAt("disk", "/disk", "memory", "/memory")
	o.peapod("pod", "run", "-d", o.manifest(o.pod("p", bothVolumes, a, probing("wait")))).ok()
	status := decode[struct {
		Supervisor struct {
			PID int `json:"pid"`
		} `json:"supervisor"`
	}](t, read(t, filepath.Join(o.home, "run/peapod/pods/p/status.json")))
	if status.Supervisor.PID == 0 {
		t.Fatal("its status has no supervisor")
	}
	unix.Kill(status.Supervisor.PID, unix.SIGKILL)
	testkit.Eventually(t, "its processes are gone", func() bool {
		out, _ := exec.Command("pgrep", "-P", strconv.Itoa(status.Supervisor.PID)).Output()
		return len(out) == 0 && !strings.Contains(o.peapod("pod", "ps").stdout, "Running")
	})
	o.peapod("pod", "rm", "--force", "p").ok()
	o.gone()
}

// A program that embeds package pod needs no more of its user than peapod does.
func TestRootlessEmbed(t *testing.T) {
	o := newOrdinary(t)
	embed := filepath.Join(o.home, "embed")
	if err := os.WriteFile(embed, []byte(read(t, buildEmbedder(t))), 0o755); err != nil {
		t.Fatal(err)
	}
	pod := o.pod("p", nil, probing("echo", "$(FROM)", ";", "exit", "7"))
	path := filepath.Join(o.home, "pod.json")
	writeJSON(t, path, pod)
	cmd := asNobody(exec.CommandContext(testkit.Soon(t), embed, path))
	cmd.Env, cmd.Dir = o.env(), o.home
	r := finish(t, cmd)
	r.wants(7)
	if !strings.Contains(r.stdout, "[a stdout] embedder") {
		t.Errorf("it says %q", r.stdout)
	}
	o.gone()
}
