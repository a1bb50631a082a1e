package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// checkType refuses a group of v2 that no process of its own can be put into:
// below a threaded group everything is invalid until made threaded itself,
// and threads of one process in several groups are not what containers want.
func (h *host) checkType(path string) error {
	kind, err := readFile(h.unified + path + "/cgroup.type")
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil // before 4.14 all are domains
	case err != nil:
		return hint(err)
	case kind == "domain" || kind == "domain threaded":
		return nil
	}
	return fmt.Errorf("%w place: its type is %q, since a group above it is threaded; choose a path that is not below one", ErrInvalid, kind)
}

// enable has the controllers of v2 on for a group: each must be in the
// cgroup.subtree_control of every group above. Mostly they are, so the group's
// own list is looked at first; and what is on is not written again, because
// the kernel waits there for groups that are being removed.
func (h *host) enable(path string, need []string) error {
	if len(need) == 0 {
		return nil
	}
	if has, err := readFile(h.unified + path + "/cgroup.controllers"); err == nil && len(without(need, has)) == 0 {
		return nil
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if err := h.enableBelow(path[:i], need); err != nil {
			return err
		}
	}
	return nil
}

// enableBelow switches the controllers on for the children of a group; path
// is "" for the mount point.
func (h *host) enableBelow(path string, need []string) error {
	file := h.unified + path + "/cgroup.subtree_control"
	has, err := readFile(file)
	if err != nil {
		return &step{"read " + file, hint(err)}
	}
	lacking := without(need, has)
	if len(lacking) == 0 {
		return nil
	}
	value := "+" + strings.Join(lacking, " +")
	if err = h.vacate(path); err == nil {
		err = writeFile(file, value)
	}
	if errors.Is(err, unix.EBUSY) && path == "" && h.aside(path) { // of a cgroup namespace
		err = writeFile(file, value)
	}
	if err == nil {
		return nil
	}
	name := path
	if name == "" {
		name = "/"
	}
	op := fmt.Sprintf("switch on %s below the group %s", strings.Join(lacking, " and "), name)
	switch {
	case errors.Is(err, unix.EBUSY):
		err = fmt.Errorf("%w (it has processes of its own, and cgroup v2 allows limits only below groups without; move them into a group below it, or choose a path elsewhere)", err)
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("the %s %w there: %w (the group above it does not pass it on)", strings.Join(lacking, " and "), ErrNoController, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		err = fmt.Errorf("%w (it is a threaded group, which takes only cpu, cpuset, perf_event and pids)", err)
	default:
		err = hint(err)
	}
	return &step{op, err}
}

// vacate sees to it that no process is in a group that is to have limits below it: this
// one steps aside where it may, others are EBUSY. The kernel says so of most controllers
// itself; with those that threads can have too it makes the group the root of a threaded
// tree instead, in which no container can be (cgroup-v2.rst, "Threads").
func (h *host) vacate(path string) error {
	if path == "" {
		return nil
	}
	list, err := procsIn(h.unified + path)
	if err != nil || len(list) == 0 || h.aside(path) {
		return nil
	}
	return unix.EBUSY
}

// without gives what of need is not in the list.
func without(need []string, list string) []string {
	has := strings.Fields(list)
	return slices.DeleteFunc(slices.Clone(need), func(name string) bool { return slices.Contains(has, name) })
}

// inherit fills the cpuset of new groups from their parents: v1 takes no
// process into a group with an empty one. Inner groups that were made get
// cgroup.clone_children, so that later groups below them come filled.
func inherit(mount, path string, made []string) error {
	for _, dir := range made {
		if dir != mount+path {
			if err := writeFile(dir+"/cgroup.clone_children", "1"); err != nil {
				return &step{"write " + dir + "/cgroup.clone_children", hint(err)}
			}
		}
	}
	for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		if _, err := fill(mount, path, file); err != nil {
			return &step{"inherit " + file[1:], hint(err)}
		}
	}
	return nil
}

// fill gives the value of a file that may have to be taken from the parent.
func fill(mount, path, file string) (string, error) {
	text, err := readFile(mount + path + file)
	if err != nil || text != "" || path == "" {
		return text, err
	}
	text, err = fill(mount, path[:strings.LastIndexByte(path, '/')], file)
	if err != nil {
		return "", err
	}
	return text, writeFile(mount+path+file, text)
}
