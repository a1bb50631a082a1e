package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/peapod/peapod/integration/internal/results"
)

// supervisorFigures starts a pod of two containers in the background, leaves
// it alone, and looks at what its supervisor takes.
func (s *stage) supervisorFigures(ctx context.Context) (figures []results.Figure, err error) {
	m, err := newMarker(filepath.Join(s.dir, "supervisor"))
	if err != nil {
		return nil, err
	}
	defer m.close()
	path, err := s.writePod("supervisor.json", filepath.Join(s.Tmp, "rootfs"), m)
	if err != nil {
		return nil, err
	}
	if err := s.quiet(s.peapod("pod", "run", "-d", path)...); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.quiet(s.peapod("pod", "rm", "-f", podName)...)) }()
	if err := m.await(2, -1, nil); err != nil {
		return nil, err
	}
	settle, idle := 2*time.Second, 10*time.Second
	if s.Options.Short {
		settle, idle = 500*time.Millisecond, time.Second
	}
	if !sleep(ctx, settle) {
		return nil, errors.New("interrupted")
	}
	pids, err := supervisors(s.Peapod)
	if err != nil {
		return nil, err
	}
	pss := 0
	for _, pid := range pids {
		n, err := proportional(pid)
		if err != nil {
			return nil, err
		}
		pss += n
	}
	before, err := wakeups(pids)
	if err != nil {
		return nil, err
	}
	if !sleep(ctx, idle) {
		return nil, errors.New("interrupted")
	}
	after, err := wakeups(pids)
	if err != nil {
		return nil, err
	}
	return []results.Figure{
		{Name: "supervisor of two containers", Value: float64(pss) / (1 << 20), Bar: 8, Unit: "MiB", Text: "PSS of the detached supervisor, /proc/PID/smaps_rollup"},
		{Name: "supervisor while idle", Value: float64(after - before), Bar: 0, Unit: "wake-ups", Text: fmt.Sprintf("voluntary context switches of all its threads in %v", idle)},
	}, nil
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// supervisors returns the processes that run the binary in this stage's mount
// namespace, which no other process on the machine shares.
func supervisors(binary string) ([]int, error) {
	want, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Stat(filepath.Join("/proc", e.Name(), "exe"))
		ns, _ := os.Readlink(filepath.Join("/proc", e.Name(), "ns/mnt"))
		if err == nil && os.SameFile(exe, want) && ns == mine {
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no process runs %s: where is the supervisor?", binary)
	}
	return found, nil
}

// proportional is a process' proportional set size in bytes.
func proportional(pid int) (int, error) {
	kib, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	return kib << 10, err
}

// wakeups is how often threads of the processes have gone to sleep so far.
func wakeups(pids []int) (int, error) {
	total := 0
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil {
			return 0, err
		}
		for _, path := range threads {
			n, err := field(path, "voluntary_ctxt_switches:")
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// field returns the number behind name in a file of /proc.
func field(path, name string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
