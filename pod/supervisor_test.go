package pod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

func contextThatEnds() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

// Containers share network, ipc, uts and /dev/shm, and nothing else.
func TestNamespaces(t *testing.T) {
	s := newStage(t)
	const links = "link /proc/self/ns/net; link /proc/self/ns/ipc; link /proc/self/ns/uts; link /proc/self/ns/pid; link /proc/self/ns/mnt; link /proc/self/ns/cgroup; link /proc/self; "
	_, got := s.run(shared(s.pod(
		box("a", links+"append /dev/shm/x hello; append /shared/done x; until /shared/seen"),
		box("b", links+"until /shared/done; cat /dev/shm/x; append /shared/seen x"),
	)))
	of := map[string][]string{}
	for _, line := range got {
		container, text, _ := strings.Cut(line, ": ")
		of[container] = append(of[container], text)
	}
	a, b := of["a"], of["b"]
	if len(a) != 9 || len(b) != 9 {
		t.Fatalf("output %q", got)
	}
	for i, kind := range []string{"net", "ipc", "uts", "pid", "mnt", "cgroup"} {
		host, _ := os.Readlink("/proc/self/ns/" + kind)
		if a[i] == host || b[i] == host {
			t.Errorf("%s is the host's", kind)
		}
		if same, want := a[i] == b[i], i < 3; same != want {
			t.Errorf("%s: %s and %s", kind, a[i], b[i])
		}
	}
	if a[6] != "1" || b[6] != "1" {
		t.Errorf("pids %s and %s, want 1", a[6], b[6])
	}
	if b[7] != "hello" {
		t.Errorf("/dev/shm: %q", b[7])
	}
}

func TestHosts(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "cat /etc/hosts; cat /etc/hostname; host; append /etc/hosts more"))
	p.Spec.Hostname = "web"
	s.expect(p,
		"a: 127.0.0.1\tlocalhost", "a: ::1\tlocalhost ip6-localhost ip6-loopback", "a: 127.0.0.1\tweb",
		"a: web", "a: web", "a: ok")
}

func TestSecurityContext(t *testing.T) {
	s := newStage(t)
	p := s.pod(
		box("a", "id; env HOME; status CapEff; status NoNewPrivs; append /bin/x x; append /tmp/x x"),
		box("b", "id; status CapEff; status CapBnd; status NoNewPrivs; append /x x"),
		box("c", "chown /tmp 1"),
		box("d", "chown /tmp 1; id"),
	)
	user, group, web := int64(1000), int64(1001), int64(33)
	p.Spec.SecurityContext = &PodSecurityContext{RunAsUser: &web, FSGroup: &group, SupplementalGroups: []int64{5}}
	root := int64(0)
	no := false
	p.Spec.Containers[1].SecurityContext = &SecurityContext{
		RunAsUser: &root, ReadOnlyRootFilesystem: true, AllowPrivilegeEscalation: &no,
		Capabilities: &Capabilities{Drop: []string{"ALL"}, Add: []string{"NET_BIND_SERVICE"}},
	}
	p.Spec.Containers[2].SecurityContext = &SecurityContext{RunAsUser: &root, Capabilities: &Capabilities{Drop: []string{"CHOWN"}}}
	p.Spec.Containers[3].SecurityContext = &SecurityContext{RunAsUser: &user, RunAsGroup: &group}
	s.expect(p,
		"a: 33:44 [5 1001]", "a: HOME=/srv", "a: 0000000000000000", "a: 0", "a: EACCES", "a: ok",
		"b: 0:0 [5 1001]", "b: 0000000000000400", "b: 0000000000000400", "b: 1", "b: EROFS",
		"c: EPERM",
		"d: EPERM", "d: 1000:1001 [5 1001]",
	)
}

// Limits are set in the container's own group, below the pod's, and hold.
func TestLimits(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "hold"), box("b", "eat 64; echo survived"))
	p.Spec.Containers[1].Resources.Limits.Memory = quantity(t, "32Mi")
	p.Spec.Containers[0].Resources.Limits = ResourceList{CPU: quantity(t, "500m"), Memory: quantity(t, "64Mi")}
	p.SetDefaults()
	sup, out := s.start(p)
	out.await("a: ready", 1)
	group, err := cgroups.Load(sup.place.group + "/a")
	if err != nil {
		t.Fatal(err)
	}
	list, err := cgroups.Hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, h := range list {
		for _, file := range []string{"memory.limit_in_bytes", "memory.max", "cpu.cfs_quota_us", "cpu.max"} {
			b, err := os.ReadFile(filepath.Join(h.Dir, group.Path(), file))
			if err == nil {
				found[file] = strings.TrimSpace(string(b))
			}
		}
	}
	if got := found["memory.limit_in_bytes"] + found["memory.max"]; got != "67108864" {
		t.Errorf("memory limit: %v", found)
	}
	if got := found["cpu.cfs_quota_us"] + found["cpu.max"]; got != "50000" && got != "50000 100000" {
		t.Errorf("cpu limit: %v", found)
	}
	testkit.Until(t, func() string {
		if c := sup.Status().ContainerStatuses[1]; c.State.Terminated == nil || c.State.Terminated.Signal != 9 {
			return fmt.Sprintf("a container with 32 MiB used 64 MiB: %+v", c.State)
		}
		return ""
	})
	sup.Stop(time.Second)
	s.finish(sup)
}

func quantity(t testing.TB, text string) Quantity {
	t.Helper()
	q, err := ParseQuantity(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// Stop may come at any moment, from anywhere.
func TestStopAnytime(t *testing.T) {
	s := newStage(t)
	quickly(t)
	for i := range 12 {
		p := s.pod(box("a", "echo"), box("b", "exit 1"))
		p.Spec.RestartPolicy = RestartAlways
		sup, _ := s.start(p)
		var group sync.WaitGroup
		for j := range 3 {
			group.Go(func() {
				time.Sleep(time.Duration(i*j) * time.Millisecond)
				sup.Stop(time.Second)
				sup.Status()
			})
		}
		s.finish(sup)
		group.Wait()
	}
}

// Many pods in one process leave nothing: no goroutine, descriptor, mount,
// cgroup, thread or namespace.
func TestManyPods(t *testing.T) {
	s := newStage(t)
	one := func() {
		p := s.pod(box("a", "stubborn"), box("b", "echo hello; exit 3"), box("c", "hold"))
		p.Spec.Volumes = []Volume{{Name: "m", EmptyDir: &EmptyDir{Medium: MediumMemory}}}
		p.Spec.Containers[0].VolumeMounts = []VolumeMount{{Name: "m", MountPath: "/m"}}
		p.Spec.Containers[1].Ports = []Port{{ContainerPort: 80, HostPort: freePort(t), HostIP: "127.0.0.1", Protocol: "TCP"}}
		sup, out := s.start(p)
		out.await("a: ready", 1)
		out.await("b: hello", 1)
		testkit.Until(t, func() string {
			if sup.Status().ContainerStatuses[1].State.Terminated == nil {
				return "b goes on"
			}
			return ""
		})
		sup.Stop(0)
		if result := s.finish(sup); result != (Result{"b", 3}) {
			t.Errorf("result %+v", result)
		}
	}
	one()
	before := testkit.Held()
	begin := time.Now()
	for range 200 {
		one()
	}
	t.Logf("50 pods of three containers in %s", time.Since(begin))
	s.nothingLeft()
	before.Check(t)
	tasks, _ := os.ReadDir("/proc/self/task")
	if len(tasks) > 100 {
		t.Errorf("%d threads", len(tasks))
	}
}
