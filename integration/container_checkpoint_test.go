package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// needCRIU skips a test where there is no criu that works with this kernel, but
// not in CI.
func needCRIU(t testing.TB) {
	t.Helper()
	needCommand(t, "criu")
	out, err := exec.Command("criu", "check").CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("criu check: %v\n%s", err, out)
	}
	t.Skipf("criu does not work with this kernel: %v\n%s", err, out)
}

// ticks is what the container has counted to.
func ticks(t testing.TB, file string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mountsOf is the table of mounts of a process, without what is anew each time.
func mountsOf(t testing.TB, pid int) (list []string) {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/mountinfo", pid))) {
		left, right, _ := strings.Cut(line, " - ")
		f := strings.Fields(left)
		list = append(list, fmt.Sprintln(f[4], "is", f[3], "of", strings.Fields(right)[0], f[5]))
	}
	slices.Sort(list)
	return list
}

// counting runs a container that counts in a file of a volume, and returns that
// file.
func counting(t testing.TB, change func(*specs.Spec)) (id, bundle, file string) {
	t.Helper()
	id, volume := newName(t), t.TempDir()
	bundle = newBundle(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/count", Type: "bind", Source: volume, Options: []string{"bind"}})
		if change != nil {
			change(s)
		}
	}, "tick", "/count/n")
	file = filepath.Join(volume, "n")
	quiet(t, "run", "--detach", "--bundle", bundle, id).ok()
	counts(t, file, 3)
	return id, bundle, file
}

// quiet runs the binary with /dev/null as its output, which a container then has
// nothing of the host's in place of.
func quiet(t testing.TB, args ...string) *result {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	log := filepath.Join(t.TempDir(), "log")
	cmd := command(t, append([]string{"--log", log}, args...)...)
	cmd.Stdout, cmd.Stderr = null, null
	r := finish(t, cmd)
	r.stderr = read(t, log)
	return r
}

// counts waits until a container has counted to n.
func counts(t testing.TB, file string, n int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("it counts to %d", n), func() bool {
		_, err := os.Stat(file)
		return err == nil && ticks(t, file) >= n
	})
}

// The life of a container goes on where it was, in the same surroundings.
func TestCheckpoint(t *testing.T) {
	needCRIU(t)
	one, two := t.TempDir(), t.TempDir()
	limit := int64(64 << 20)
	id, bundle, file := counting(t, func(s *specs.Spec) {
		s.Root.Readonly = true
		s.Hostname = "saved"
		for i, dir := range []string{one, two} {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprint("/ro", i), Type: "bind", Source: dir, Options: []string{"rbind", "ro", "nosuid"}})
		}
		own := specs.LinuxNamespace{Type: specs.CgroupNamespace}
		if !slices.Contains(s.Linux.Namespaces, own) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, own)
		}
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "99"}
	})
	before := stateOf(t, id)
	mounts, group := mountsOf(t, before.Pid), groupDir(t, before.Pid)
	images := filepath.Join(t.TempDir(), "images")

	peapod(t, "checkpoint", "--image-path", images, id).ok()
	peapod(t, "state", id).wants(1, "does not exist")
	if _, err := os.Stat(group); err == nil {
		t.Errorf("%s is left", group)
	}
	at := ticks(t, file)
	os.Remove(file)

	pidFile := filepath.Join(t.TempDir(), "pid")
	peapod(t, "restore", "--detach", "--bundle", bundle, "--image-path", images, "--pid-file", pidFile, id).ok()
	after := stateOf(t, id)
	if after.Status != "running" || after.Bundle != bundle || read(t, pidFile) != strconv.Itoa(after.Pid) {
		t.Errorf("state %+v, pid file %q", after, read(t, pidFile))
	}
	counts(t, file, at+3)
	if n := ticks(t, file); n > at+1000 {
		t.Errorf("it counted to %d before and %d now", at, n)
	}
	if now := mountsOf(t, after.Pid); !slices.Equal(now, mounts) {
		t.Errorf("its mounts were\n%s\nand are\n%s", strings.Join(mounts, ""), strings.Join(now, ""))
	}
	if now := groupDir(t, after.Pid); now != group {
		t.Errorf("its cgroup was %s and is %s", group, now)
	}
	got := peapod(t, "exec", id, "probe", "host", ";", "cat", "/proc/sys/net/ipv4/ip_default_ttl", ";", "create", "/x", "x", ";", "create", "/ro1/x", "x",
		";", "link", "/proc/1/ns/time", ";", "link", "/proc/self/ns/time").ok()
	lines := strings.Split(got, "\n")
	if want := []string{"saved", "99", "EROFS", "EROFS"}; len(lines) != 6 || !slices.Equal(lines[:4], want) || lines[4] != lines[5] {
		t.Errorf("a command in it says %q", lines)
	}
	if got := decode[[]int](t, peapod(t, "ps", "--format", "json", id).ok()); !slices.Equal(got, []int{after.Pid}) {
		t.Errorf("its processes are %v", got)
	}
	peapod(t, "pause", id).ok()
	peapod(t, "resume", id).ok()
	peapod(t, "kill", id, "KILL").ok()
	ends(t, id)
	peapod(t, "delete", id).ok()
}

// In the foreground its output goes to who restores it, as often as that is.
func TestCheckpointForeground(t *testing.T) {
	needCRIU(t)
	id, images := newName(t), t.TempDir()
	bundle := newBundle(t, nil, "tick")
	p := begin(t, command(t, "run", "--bundle", bundle, id))
	p.sees("\n3\n")
	for range 2 {
		peapod(t, "pause", id).ok()
		peapod(t, "checkpoint", "--leave-running", "--image-path", images, id).ok()
		if s := stateOf(t, id); s.Status != "paused" {
			t.Errorf("it is %s", s.Status)
		}
		peapod(t, "resume", id).ok()
		peapod(t, "checkpoint", "--image-path", images, id).ok()
		if code := p.status(); code != 137 {
			t.Errorf("the command that has waited ends with %d", code)
		}
		rest, err := io.ReadAll(p.output)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Fields(p.seen.String() + string(rest))
		n, err := strconv.Atoi(lines[len(lines)-1])
		if err != nil {
			t.Fatal(err)
		}
		p = begin(t, command(t, "restore", "--bundle", bundle, "--image-path", images, id))
		p.sees(fmt.Sprintf("%d\n%d\n%d\n", n+1, n+2, n+3))
	}
	peapod(t, "kill", id, "KILL").ok()
	if code := p.status(); code != 137 {
		t.Errorf("status %d", code)
	}
	peapod(t, "state", id).wants(1, "does not exist")
}
