package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// diskVariable names a disk that tests may write to, whatever is on it.
const diskVariable = "PEAPOD_TEST_DISK"

// disk is one to write to: as a whole, or by a file on it.
type disk struct {
	path         string
	whole        bool
	major, minor int64
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	path := os.Getenv(diskVariable)
	d := &disk{path: path, whole: path != ""}
	if !d.whole {
		d.path = t.TempDir()
	}
	var s unix.Stat_t
	if err := unix.Stat(d.path, &s); err != nil {
		t.Fatal(err)
	}
	number := s.Dev
	if d.whole {
		number = s.Rdev
	}
	d.major, d.minor = int64(unix.Major(number)), int64(unix.Minor(number))
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d/queue", d.major, d.minor)); err != nil {
		t.Skipf("the directory for temporary files is on no disk of its own, and %s names none", diskVariable)
	}
	return d
}

// give lets a container write to it, and returns where.
func (d *disk) give(s *specs.Spec) string {
	if !d.whole {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "bind", Source: d.path, Options: []string{"rbind", "rw"}})
		return "/tmp/file"
	}
	s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/disk", Type: "b", Major: d.major, Minor: d.minor})
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
		specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: &d.major, Minor: &d.minor, Access: "rw"})
	return "/dev/disk"
}

// written is a limit for what is written to it.
func (d *disk) written(bytes uint64) *specs.LinuxBlockIO {
	device := specs.LinuxThrottleDevice{Rate: bytes}
	device.Major, device.Minor = d.major, d.minor
	return &specs.LinuxBlockIO{ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{device}}
}

// TestWriteLimit: two megabytes at one a second take the two seconds that they
// should, and half of that when the rate is doubled. Without a limit they take
// none.
func TestWriteLimit(t *testing.T) {
	testWriteLimit(t)
}

func testWriteLimit(t *testing.T, options ...string) {
	needController(t, "blkio", "io")
	d := newDisk(t)
	id, path := newName(t), ""
	b := newBundle(t, func(s *specs.Spec) {
		path = d.give(s)
		s.Linux.Resources.BlockIO = d.written(1 << 20)
	}, "wait")
	peapod(t, append(options, "run", "-d", "-b", b, id)...).ok()
	write := func() time.Duration {
		out := peapod(t, "exec", id, "probe", "direct", path, "2").ok()
		if out == "EINVAL" {
			t.Skipf("the file system of %s cannot write past its cache", filepath.Dir(d.path))
		}
		ms, err := strconv.Atoi(out)
		if err != nil {
			t.Fatalf("write: %s", out)
		}
		return time.Duration(ms) * time.Millisecond
	}
	// The kernel counts in slices of a tenth of a second. More time than it
	// should take may be the machine's load.
	check := func(rate uint64, least, most time.Duration) {
		t.Helper()
		if took := write(); took < least || took > most {
			t.Errorf("2 MiB at %d bytes/s took %v", rate, took)
		} else {
			t.Logf("2 MiB at %d bytes/s took %v", rate, took)
		}
	}
	check(1<<20, 1800*time.Millisecond, 4*time.Second)
	for _, rate := range []uint64{2 << 20, 0} {
		file := filepath.Join(t.TempDir(), "resources.json")
		writeJSON(t, file, specs.LinuxResources{BlockIO: d.written(rate)})
		peapod(t, "update", "-r", file, id).ok()
		if rate == 0 {
			check(rate, 0, time.Second)
		} else {
			check(rate, 900*time.Millisecond, 3*time.Second)
		}
	}
	if text := peapod(t, "events", "--stats", id).ok(); !strings.Contains(text, `"blkio"`) {
		t.Errorf("events: %s", text)
	}
	peapod(t, "delete", "-f", id).ok()
}
