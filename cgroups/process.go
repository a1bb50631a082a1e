package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Descriptor opens the group's directory for clone3(2) with CLONE_INTO_CGROUP
// (syscall.SysProcAttr.CgroupFD), by which a process is born in the group, at
// no cost; the caller closes it. complete says that nothing else has to be
// done: on a hybrid host only the unified hierarchy is covered, and Enter (or
// Add) has to see to the others. On plain v1 f is nil.
//
// Before Linux 6.3 and 6.1.25 a process that is born so has not the CPUs of a
// cpuset: it gets them when it asks for any by sched_setaffinity(2). The memory
// nodes of one it does not get there.
func (g *Group) Descriptor() (f *os.File, complete bool, err error) {
	if g.host.unified == "" {
		return nil, false, nil
	}
	name := g.host.unified + g.path
	fd, err := open(name, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotExist
	}
	if err != nil {
		return nil, false, failed("open", g.path, hint(err))
	}
	return os.NewFile(uintptr(fd), name), len(g.host.legacy) == 0, nil
}

// Add moves a process, with all its threads, into the group in every
// hierarchy. The kernel waits for a grace period of RCU in it, 0.5 to 30 ms:
// processes that are yet to start are better born in the group, by Descriptor
// and Enter.
func (g *Group) Add(pid int) error {
	if pid <= 0 {
		return failed("add", g.path, fmt.Errorf("%w process %d", ErrInvalid, pid))
	}
	for _, dir := range g.host.dirs(g.path) {
		if err := writeFile(dir+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
			return failed(fmt.Sprintf("add process %d by %s/cgroup.procs", pid, dir), g.path, explainAdd(err))
		}
	}
	return nil
}

// explainAdd says what the kernel means by refusing a process.
func explainAdd(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrNotExist
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("%w (it has ended)", err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (its cpuset is empty; set cpu.cpus and cpu.mems)", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w (groups below it have limits, and cgroup v2 takes processes only into groups without such)", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w (it is a threaded group)", err)
	}
	return hint(err)
}

// Procs lists the processes in the group and in all groups below it, in
// ascending order; none is not an error, a group that is gone is ErrNotExist.
func (g *Group) Procs() ([]int, error) {
	list, err := procsBelow(g.main())
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotExist
	}
	return list, failed("list processes", g.path, err)
}

// main is the directory that says what is in the group: the unified one, on
// v1 the first hierarchy that has it.
func (g *Group) main() string {
	list := g.host.dirs(g.path)
	for _, dir := range list {
		if exists(dir) {
			return dir
		}
	}
	if len(list) == 0 {
		return "" // made by best effort where nothing could be
	}
	return list[0]
}

// procsBelow lists the processes in a directory and below it.
func procsBelow(dir string) ([]int, error) {
	text, err := readList(dir + "/cgroup.procs")
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, err // a threaded group's processes are listed above it
	}
	list := numbers(text)
	below, err := children(dir)
	if err != nil {
		return nil, err
	}
	for _, child := range below {
		more, err := procsBelow(child)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return nil, err // one that was removed meanwhile has none
		}
		list = append(list, more...)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// children lists the directories of the groups just below one.
func children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, dir+"/"+e.Name())
		}
	}
	return list, nil
}

// seat gives the group of a process (or "self") in one hierarchy, as a path
// below its mount point; not ok when it is not below that, or gone.
func (l *legacy) seat(process string) (path string, ok bool) {
	text, err := readList("/proc/" + process + "/cgroup")
	if err != nil {
		return "", false
	}
	return l.find(text)
}

// find looks the hierarchy up in the text of /proc/PID/cgroup, whose lines are
// "4:memory:/path", and "0::/path" for v2.
func (l *legacy) find(text string) (path string, ok bool) {
	for line := range strings.SplitSeq(text, "\n") {
		_, rest, _ := strings.Cut(line, ":")
		names, path, _ := strings.Cut(rest, ":")
		if names != strings.Join(l.controllers, ",") {
			continue
		}
		path, ok = strings.CutPrefix(path, strings.TrimSuffix(l.root, "/"))
		return path, ok && (path == "" || path[0] == '/') && !strings.HasPrefix(path, "/..")
	}
	return "", false
}

// inside says whether a seat is the group or below it.
func inside(seat, group string) bool {
	return seat == group || strings.HasPrefix(seat, group+"/")
}
