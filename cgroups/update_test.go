package cgroups_test

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// allowing are rules by which nothing is allowed but the default devices and
// some more.
func allowing(list ...specs.LinuxDeviceCgroup) *specs.LinuxResources {
	return &specs.LinuxResources{Devices: append([]specs.LinuxDeviceCgroup{{Access: "rwm"}}, list...)}
}

func device(allow bool, minor int64, access string) specs.LinuxDeviceCgroup {
	return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: p[int64](1), Minor: p(minor), Access: access}
}

// TestUpdateDevices: while rules change over and over, what neither of them
// allows is never open, and what both allow always is.
func TestUpdateDevices(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, allowing())
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	dir := t.TempDir()
	for name, minor := range map[string]uint64{"mem": 1, "kmsg": 11} {
		if err := unix.Mknod(dir+"/"+name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(minor)))); err != nil {
			t.Fatal(err)
		}
	}
	start(t, g, "while :; do if (: <"+dir+"/mem) 2>/dev/null; then echo open >>"+dir+"/wrong; fi; "+
		"(: </dev/null) 2>/dev/null || echo closed >>"+dir+"/wrong; echo >>"+dir+"/turns; done")
	turns := func() int64 {
		s, err := os.Stat(dir + "/turns")
		if err != nil {
			return 0
		}
		return s.Size()
	}
	forbidding := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
		{Allow: true, Access: "rwm"}, device(false, 1, "rwm"), device(false, 11, "w"),
	}}
	for range 50 {
		// On v1 a group is frozen meanwhile, which interrupts a fork: without a pause
		// none would ever succeed on a slow machine.
		before := turns()
		testkit.Eventually(t, "the shell goes on", func() bool { return turns() > before })
		for _, r := range []*specs.LinuxResources{allowing(device(true, 11, "rw")), allowing(device(true, 11, "r")), forbidding, allowing()} {
			if err := g.Update(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text, err := os.ReadFile(dir + "/wrong"); err == nil {
		t.Errorf("while the rules changed: %s", text)
	}
}

// TestUpdateDevicesTakesEffect in all directions.
func TestUpdateDevicesTakesEffect(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	dir := t.TempDir()
	if err := unix.Mknod(dir+"/kmsg", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err != nil {
		t.Fatal(err)
	}
	everything := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	for i, test := range []struct {
		r           *specs.LinuxResources
		read, write bool
	}{
		{allowing(), false, false},
		{allowing(device(true, 11, "r")), true, false},
		{allowing(device(true, 11, "rw")), true, true},
		{allowing(device(true, 11, "w")), false, true},
		{&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{everything, device(false, 11, "w")}}, true, false},
		{&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{everything}}, true, true},
		{allowing(), false, false},
	} {
		if err := g.Update(test.r); err != nil {
			t.Fatal(err)
		}
		for script, want := range map[string]bool{": <": test.read, ": >": test.write} {
			if text, err := output(t, g, script+dir+"/kmsg"); (err == nil) != want {
				t.Errorf("%d: %s: %v, %s", i, script, err, text)
			}
		}
	}
	if frozen, err := g.Frozen(); frozen || err != nil {
		t.Errorf("frozen %v, %v", frozen, err)
	}
}

// TestUpdateKeeps: quota, burst and idle stay when others of them change.
func TestUpdateKeeps(t *testing.T) {
	g := limited(t, "cpu", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: p[int64](20000), Period: p[uint64](100000), Burst: p[uint64](10000)}})
	if g == nil {
		return
	}
	burst, quota := file(t, "cpu", prefix, "cpu.cfs_burst_us", "cpu.max.burst"), file(t, "cpu", prefix, "cpu.cfs_quota_us", "cpu.max")
	for _, test := range []struct {
		c            specs.LinuxCPU
		quota, burst string
	}{
		{specs.LinuxCPU{Period: p[uint64](50000)}, "20000", "10000"},
		{specs.LinuxCPU{Quota: p[int64](30000)}, "30000", "10000"},
		{specs.LinuxCPU{Shares: p[uint64](512)}, "30000", "10000"},
		{specs.LinuxCPU{Quota: p[int64](5000), Burst: p[uint64](5000)}, "5000", "5000"},     // quota below the old burst
		{specs.LinuxCPU{Quota: p[int64](40000), Burst: p[uint64](30000)}, "40000", "30000"}, // burst above the old quota
		{specs.LinuxCPU{Burst: p[uint64](0)}, "40000", "0"},
		{specs.LinuxCPU{Idle: p[int64](1)}, "40000", "0"},
		{specs.LinuxCPU{Quota: p[int64](20000)}, "20000", "0"},
	} {
		if err := g.Update(&specs.LinuxResources{CPU: &test.c}); err != nil {
			t.Fatal(err)
		}
		if q := content(t, quota); !strings.HasPrefix(q, test.quota) || content(t, burst) != test.burst {
			t.Errorf("quota %s and burst %s, want %s and %s", q, content(t, burst), test.quota, test.burst)
		}
	}
	if idle := content(t, file(t, "cpu", prefix, "cpu.idle", "cpu.idle")); idle != "1" {
		t.Errorf("idle is %s", idle)
	}
	err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: p[uint64](512)}})
	if err == nil || !strings.Contains(err.Error(), "cpu.idle") {
		t.Errorf("shares of an idle group: %v", err)
	}
	if err := g.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: p[int64](0), Shares: p[uint64](512)}}); err != nil {
		t.Error(err)
	}
}
