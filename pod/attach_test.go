package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/networks"
)

// onHostEnv is set for a test that has a host of its own.
const onHostEnv = "PEAPOD_TEST_HOST"

// ownHost runs the test in a process that has a network of its own, which is the
// host's for its pods: that of the machine stays as it is. It tells whether this
// is that process.
func ownHost(t *testing.T) bool {
	t.Helper()
	testkit.NeedRoot(t)
	if os.Getenv(onHostEnv) != "" {
		up(t, "lo")
		return true
	}
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	c.Env = append(os.Environ(), onHostEnv+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := c.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return false
}

// up brings up an interface of this process's network.
func up(t *testing.T, name string) {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		t.Fatal(err)
	}
}

// bridged starts a pod on a bridge, or skips the test where the kernel has none.
func (s *stage) bridged(p *Pod) (*Supervisor, *output) {
	s.t.Helper()
	out := newOutput(s.t)
	sup, err := Start(testkit.Soon(s.t), p, &Options{Store: s.store, Output: out.add, Network: "bridge"})
	if errors.Is(err, networks.ErrUnsupported) && os.Getenv("CI") != "true" {
		s.t.Skip(err)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		sup.Stop(0)
		sup.Wait()
	})
	return sup, out
}

// noNetworkLeft checks that no pod's network is left.
func (s *stage) noNetworkLeft() {
	s.t.Helper()
	for _, pattern := range []string{"run/networks/pods/*", "run/networks/leases/*", "run/networks/netns/*"} {
		if found, _ := filepath.Glob(s.path(pattern)); len(found) > 0 {
			s.t.Errorf("left: %q", found)
		}
	}
	testkit.Until(s.t, func() string {
		links, err := os.ReadFile("/proc/self/net/dev")
		if err != nil || strings.Contains(string(links), networks.DefaultBridge) {
			return fmt.Sprintf("links:\n%s%v", links, err)
		}
		return ""
	})
}

// Pods on the bridge reach each other by the addresses that their status and
// their variables tell.
func TestPodsOnABridge(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	server := box("a", "serve :80; env IP; env IPS; env HOST; cat /etc/hosts; hold")
	for name, field := range map[string]string{"IP": "status.podIP", "IPS": "status.podIPs", "HOST": "status.hostIP"} {
		server.Env = append(server.Env, EnvVar{Name: name, ValueFrom: &EnvVarSource{FieldRef: &FieldRef{FieldPath: field}}})
	}
	one, out := s.bridged(s.pod(server))
	out.await("a: ready", 1)
	status := one.Status()
	if len(status.PodIPs) != 2 || status.PodIP != status.PodIPs[0].IP || status.Network != "bridge" {
		t.Fatalf("status %+v", status)
	}
	out.await("a: IP="+status.PodIP, 1)
	out.await("a: IPS="+status.PodIPs[0].IP+","+status.PodIPs[1].IP, 1)
	out.await("a: HOST="+status.HostIP, 1)
	for _, ip := range status.PodIPs {
		out.await("a: "+ip.IP+"\t"+one.Pod().Metadata.Name, 1)
	}
	two := s.pod(box("b", fmt.Sprintf("ask %s:80 v4; ask [%s]:80 v6", status.PodIPs[0].IP, status.PodIPs[1].IP)))
	client, said := s.bridged(two)
	if result := s.finish(client); result != (Result{}) {
		t.Errorf("result %+v", result)
	}
	s.same(said.all(), []string{"b: v4bye", "b: v6bye"})
	var saved PodStatus
	if err := readJSON(s.path("run/pods/"+one.Pod().Metadata.Name+"/status.json"), &saved); err != nil || saved.PodIP != status.PodIP {
		t.Errorf("saved status %+v, %v", saved, err)
	}
	one.Stop(0)
	one.Wait()
	s.noNetworkLeft()
}

// Host ports lead into a pod on a bridge as into others.
func TestHostPortOnABridge(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	port := freePort(t)
	_, out := s.bridged(s.pod(forwards(box("a", "serve 127.0.0.1:8080; hold"), port, 8080)))
	out.await("a: ready", 1)
	if got := ask(t, local(port), "hello "); got != "hello bye" {
		t.Errorf("got %q", got)
	}
}

// A pod that cannot start has no network afterwards.
func TestNoNetworkAfterAFailedStart(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	sup, _ := s.bridged(s.pod(box("a", "hold")))
	p := s.pod(box("a", "hold"))
	p.Spec.Containers[0].WorkingDir = "/etc/passwd"
	if _, err := Start(testkit.Soon(t), p, &Options{Store: s.store, Network: "bridge"}); err == nil {
		t.Error("a working directory that is a file")
	}
	if _, err := os.Stat(s.path("run/networks/pods/" + p.Metadata.Name)); err == nil {
		t.Error("the pod has a network")
	}
	sup.Stop(0)
	sup.Wait()
	s.noNetworkLeft()
}

// What a killed supervisor leaves of its pod's network goes with the pod.
func TestNetworkOfALostPod(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	probe, _ := s.bridged(s.pod(box("a", "hold")))
	probe.Stop(0)
	probe.Wait()
	p := s.pod(box("a", "hold"))
	name, err := s.detach(p, func(d *Detached) { d.Options.Network = "bridge" })
	if err != nil {
		t.Fatal(err)
	}
	status := s.get(name)
	if status.PodIP == "" || status.Network != "bridge" {
		t.Fatalf("status %+v", status)
	}
	if err := unix.Kill(status.Supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, func() string {
		if r := s.get(name).Reason; r != ReasonLost {
			return "reason " + r
		}
		return ""
	})
	if err := s.store.Remove(testkit.Soon(t), name, true); err != nil {
		t.Fatal(err)
	}
	s.noNetworkLeft()
}

// On the host's network a container listens on the host's own ports.
func TestHostNetwork(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	port := freePort(t)
	p := s.pod(forwards(box("a", fmt.Sprintf("serve 127.0.0.1:%d; hold", port)), port, port))
	p.Spec.HostNetwork = true
	p.Spec.Containers[0].ReadinessProbe = &Probe{TCPSocket: &TCPSocketAction{Port: PortRef{Number: port}}}
	p.SetDefaults()
	sup, out := s.start(p)
	out.await("a: ready", 1)
	testkit.Until(t, func() string {
		if c := sup.Status().ContainerStatuses[0]; !c.Ready {
			return fmt.Sprintf("the probe does not reach it: %+v", c)
		}
		return ""
	})
	if got := ask(t, local(port), "hello "); got != "hello bye" {
		t.Errorf("got %q", got)
	}
	if status := sup.Status(); status.Network != "host" || status.PodIP != status.HostIP || status.PodIP == "" {
		t.Errorf("status %+v", status)
	}
	data, err := json.Marshal(sup.Pod())
	if err != nil || !strings.Contains(string(data), `"hostNetwork":true`) {
		t.Errorf("saved as %s, %v", data, err)
	}
}

// Where the kernel has no bridge for pods, auto is none, and the status says so.
func TestAutoNetwork(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	testkit.WithoutNetfilter(t, func() {
		sup, err := Start(testkit.Soon(t), s.pod(box("a", "hold")), &Options{Store: s.store, Network: "auto"})
		if err != nil {
			t.Error(err)
			return
		}
		if status := sup.Status(); status.Network != "none" || status.PodIP != "" {
			t.Errorf("status %+v", status)
		}
		sup.Stop(0)
		sup.Wait()
	})
	s.noNetworkLeft()
}

func TestNetworkRefused(t *testing.T) {
	if !ownHost(t) {
		return
	}
	s := newStage(t)
	plain := func() *Pod { return s.pod(box("a", "hold")) }
	onHost := func(c Container) *Pod {
		p := s.pod(c)
		p.Spec.HostNetwork = true
		return p
	}
	refers := plain()
	refers.Spec.Containers[0].Env = []EnvVar{{Name: "IP", ValueFrom: &EnvVarSource{FieldRef: &FieldRef{FieldPath: "status.podIP"}}}}
	for _, c := range []struct {
		pod     *Pod
		network string
		words   string
	}{
		{plain(), "briddge", `network "briddge": did you mean bridge? (want none, host, bridge, auto, pasta, slirp4netns or cni:NAME`},
		{plain(), "cni:none-such", "to network cni:none-such: no file of /etc/cni/net.d has a network of this name"},
		{onHost(box("a", "hold")), "bridge", "spec.hostNetwork: the pod is run with network bridge"},
		{onHost(forwards(box("a", "hold"), 8081, 8080)), "", "ports[0].hostPort: the pod has the host's network: want 8080"},
		{refers, "none", "valueFrom.fieldRef.fieldPath: the pod has no address but its loopback"},
	} {
		_, err := Start(testkit.Soon(t), c.pod, &Options{Store: s.store, Network: c.network})
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: got %v, want one with %q", c.network, err, c.words)
		}
	}
	s.nothingLeft()
}
