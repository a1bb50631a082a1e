package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cgroupTree is one group of the same name in every mounted hierarchy, below
// which all containers of a stage have theirs. It is there beforehand, so that
// no contender pays for making the parent.
type cgroupTree struct {
	name string   // below a hierarchy
	dirs []string // in every hierarchy; the unified one is the first
}

func newCgroupTree(name string) (*cgroupTree, error) {
	points, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	t := &cgroupTree{name: name}
	for _, point := range points {
		dir := filepath.Join(point, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, t.remove())
		}
		t.dirs = append(t.dirs, dir)
		if err := initCpuset(dir); err != nil {
			return nil, errors.Join(err, t.remove())
		}
	}
	return t, nil
}

// cgroupMounts returns where the hierarchies are mounted, the unified one
// first. Of what is mounted over, nothing is returned.
func cgroupMounts() ([]string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var unified, others []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			continue
		}
		switch point := fields[1]; {
		case fields[2] == "cgroup2" && isCgroup2(point):
			unified = append(unified, point)
		case fields[2] == "cgroup":
			if _, err := os.Stat(filepath.Join(point, "cgroup.procs")); err == nil {
				others = append(others, point)
			}
		}
	}
	if len(unified) == 0 {
		return nil, errors.New("no cgroup2 is mounted at or below /sys/fs/cgroup")
	}
	return append(unified[len(unified)-1:], others...), nil
}

// initCpuset gives a new group of cgroup v1's cpuset its parent's processors
// and has its children inherit them; without, no process could join them.
func initCpuset(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), b, 0)
		}
		if err != nil {
			return err
		}
	}
	err := os.WriteFile(filepath.Join(dir, "cgroup.clone_children"), []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil // the root of cgroup v2 has none
	}
	return err
}

// path is the cgroupsPath of a container.
func (t *cgroupTree) path(container string) string { return "/" + t.name + "/" + container }

// each returns the directories of a container's groups.
func (t *cgroupTree) each(container string) []string {
	var dirs []string
	for _, dir := range t.dirs {
		dirs = append(dirs, filepath.Join(dir, container))
	}
	return dirs
}

// remove removes the tree. What a killed process still holds goes away within
// milliseconds.
func (t *cgroupTree) remove() error {
	var errs error
	for _, dir := range t.dirs {
		var err error
		for range 200 {
			if err = removeGroups(dir); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("remove the benchmark's cgroup: %w", err))
		}
	}
	return errs
}

// removeGroups removes a group and all below it, deepest first.
func removeGroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeGroups(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, os.Remove(dir))
}
