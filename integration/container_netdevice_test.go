package integration

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// A device of the host is the container's, with its hardware address, MTU and
// permanent addresses, up, and under another name where one is given.
func TestNetDevices(t *testing.T) {
	ip := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for _, name := range []string{"pptest0", "pptest1"} {
		exec.Command("ip", "link", "del", name).Run()
		ip("link", "add", name, "address", "02:00:00:00:00:17", "mtu", "1434", "type", "veth", "peer", "name", name+"p")
		t.Cleanup(func() { exec.Command("ip", "link", "del", name).Run() })
	}
	ip("addr", "add", "10.77.0.1/24", "dev", "pptest0")
	ip("addr", "add", "fd77::1/64", "dev", "pptest0", "nodad")
	add := func(name, as string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: as}} }
	}
	id, pid := waiting(t, add("pptest0", "inner0"))
	look, err := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-n", "ip", "addr", "show", "dev", "inner0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, look)
	}
	for _, want := range []string{"02:00:00:00:00:17", "mtu 1434", "inet 10.77.0.1/24", "inet6 fd77::1/64", ",UP"} {
		if !strings.Contains(string(look), want) {
			t.Errorf("no %q in %s", want, look)
		}
	}
	if err := exec.Command("ip", "link", "show", "pptest0").Run(); err == nil {
		t.Error("the host still has the device")
	}
	peapod(t, "delete", "-f", id).ok()
	peapod(t, "run", "-b", newBundle(t, add("pptest9", "")), newName(t)).wants(1, "pptest9", "no such device")
	peapod(t, "run", "-b", newBundle(t, add("pptest1", "lo")), newName(t)).wants(1, "pptest1", "as lo", "file exists")
	if err := exec.Command("ip", "link", "show", "pptest1").Run(); err != nil {
		t.Error("a device that could not be moved is gone")
	}
}

// Without hardware for it, resource classes are refused before anything is made.
func TestIntelRdt(t *testing.T) {
	r := peapod(t, "run", "-b", newBundle(t, func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }), newName(t))
	r.wants(1, "linux.intelRdt", "resctrl")
}

// What engines ask for first.
func TestFeaturesCommand(t *testing.T) {
	f := decode[features.Features](t, peapod(t, "features").ok())
	if f.OCIVersionMax != specs.Version || len(f.Hooks) != 6 || len(f.Linux.Namespaces) != 8 || len(f.Linux.Capabilities) != 41 ||
		!slices.Contains(f.MountOptions, "rnosymfollow") || !*f.Linux.MountExtensions.IDMap.Enabled || !*f.Linux.Seccomp.Enabled {
		t.Errorf("%+v", f)
	}
}
