package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// podNetworkStatus is what `pod inspect` tells of a pod's network.
type podNetworkStatus struct {
	Status struct {
		Network, PodIP, HostIP string
		PodIPs                 []struct{ IP string }
	}
}

// On a host of its own: the test's commands see a network that is nobody's.
func TestPodNetwork(t *testing.T) {
	probe := probing("env", "IP", ";", "wait")
	probe["env"] = []map[string]any{{"name": "IP", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "status.podIP"}}}}
	name, path := podSpec(t, probe)
	run := command(t, "pod", "run", "-d", "--network", "bridge:it0,subnet=10.9.0.0/24,mtu=1400", path)
	run.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	r := finish(t, run)
	if r.code != 0 && strings.Contains(r.stderr, "the kernel has no") && os.Getenv("CI") != "true" {
		t.Skip(r.stderr)
	}
	r.ok()
	got := decode[podNetworkStatus](t, peapod(t, "pod", "inspect", name).ok()).Status
	if got.Network != "bridge:it0,subnet=10.9.0.0/24,mtu=1400" || got.PodIP != "10.9.0.2" || len(got.PodIPs) != 1 || got.HostIP != "10.9.0.1" {
		t.Errorf("inspect: %+v", got)
	}
	testkit.Until(t, func() string {
		if out := peapod(t, "pod", "logs", name).ok(); !strings.Contains(out, "IP=10.9.0.2") {
			return "logs: " + out
		}
		return ""
	})
	peapod(t, "pod", "stop", name).ok()
	peapod(t, "pod", "rm", name).ok()
	left, err := filepath.Glob(filepath.Join(os.Getenv("PEAPOD_ROOT"), "networks", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left of the network: %q, %v", left, err)
	}
}

func TestPodNetworkRefused(t *testing.T) {
	_, path := podSpec(t, probing("wait"))
	peapod(t, "pod", "run", "--network", "briddge", path).wants(1, `network "briddge"`, "want none, host, bridge, auto, pasta, slirp4netns or cni:NAME")
	peapod(t, "pod", "run", "-d", "--network", "bridge,mtu=7", path).wants(1, "want 1280 to 65535")
	peapod(t, "pod", "run", "--network", "cni:"+testkit.Mark+"none", path).wants(1, "to network cni:"+testkit.Mark+"none: no file of /etc/cni/net.d has a network of this name")
}
