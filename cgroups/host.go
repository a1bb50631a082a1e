package cgroups

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mode is the way in which the host has its cgroup hierarchies mounted.
type Mode int

// The modes. Hybrid has the unified hierarchy (v2) beside v1 ones; each
// controller is in one of them.
const (
	None Mode = iota
	V1
	V2
	Hybrid
)

// String gives "none", "v1", "v2" or "hybrid".
func (m Mode) String() string {
	return [...]string{"none", "v1", "v2", "hybrid"}[m]
}

// legacy is one mounted v1 hierarchy.
type legacy struct {
	dir         string   // mount point
	root        string   // group that is seen at the mount point, usually "/"
	controllers []string // "cpu", "cpuacct"; a named one has "name=systemd"
}

// host says where the hierarchies are.
type host struct {
	mode    Mode
	unified string // mount point of v2, "" without
	root    string // group that is seen there
	legacy  []legacy
	// top is the group whose controllers are to be had, "" for that at the mount
	// point: an ordinary user's, see at.
	top string
}

// mountPoint is where every distribution mounts the hierarchies.
const mountPoint = "/sys/fs/cgroup"

// here is found out once: a process does not see its hierarchies move, unless
// it changes its mount namespace, which a Go process cannot do as a whole.
var here = sync.OnceValues(detect)

// HostMode says how this host has its hierarchies mounted. The error of a
// host without any says what to mount.
func HostMode() (Mode, error) {
	h, err := here()
	if err != nil {
		return None, err
	}
	return h.mode, nil
}

// detect asks statfs(2) first: a host with plain v2 needs no look at the
// mount table, which may be long.
func detect() (*host, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(mountPoint, &s); err == nil && s.Type == unix.CGROUP2_SUPER_MAGIC {
		return &host{mode: V2, unified: mountPoint, root: "/"}, nil
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cgroups: find the hierarchies: %w", err)
	}
	h, err := parseHost(string(table))
	if err != nil {
		return nil, err
	}
	return h.only(visible).settled()
}

// visible: the table has mounts too that others were mounted over.
func visible(dir string) bool {
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	return err == nil && (s.Type == unix.CGROUP_SUPER_MAGIC || s.Type == unix.CGROUP2_SUPER_MAGIC)
}

// parseHost reads a mount table (proc_pid_mountinfo(5)).
func parseHost(table string) (*host, error) {
	h := &host{}
	seen := map[string]bool{}
	for line := range strings.Lines(table) {
		m, ok := parseMount(line)
		if !ok || seen[m.device] && !m.usual() {
			continue
		}
		h.add(m, seen[m.device])
		seen[m.device] = true
	}
	return h.settled()
}

// settled finds the mode, and refuses a host without hierarchies.
func (h *host) settled() (*host, error) {
	switch {
	case h.unified != "" && len(h.legacy) > 0:
		h.mode = Hybrid
	case h.unified != "":
		h.mode = V2
	case len(h.legacy) > 0:
		h.mode = V1
	default:
		return nil, fmt.Errorf("cgroups: %w; mount -t cgroup2 cgroup2 %s", ErrNotMounted, mountPoint)
	}
	return h, nil
}

// add takes a mount in; one that was seen at an unusual place is moved.
func (h *host) add(m mount, again bool) {
	if m.fstype == "cgroup2" {
		h.unified, h.root = m.dir, m.root
		return
	}
	list := m.controllers()
	if len(list) == 0 {
		return
	}
	if again {
		h.legacy = slices.DeleteFunc(h.legacy, func(l legacy) bool { return slices.Equal(l.controllers, list) })
	}
	h.legacy = append(h.legacy, legacy{dir: m.dir, root: m.root, controllers: list})
}

// find gives the v1 hierarchy that has a controller, or nil.
func (h *host) find(controller string) *legacy {
	for i := range h.legacy {
		if h.legacy[i].has(controller) {
			return &h.legacy[i]
		}
	}
	return nil
}

// dirs lists the directories of a group, the unified one first.
func (h *host) dirs(path string) []string {
	list := make([]string, 0, 1+len(h.legacy))
	if h.unified != "" {
		list = append(list, h.unified+path)
	}
	for i := range h.legacy {
		list = append(list, h.legacy[i].dir+path)
	}
	return list
}

// at is the host for a group at path: an ordinary user has those controllers of v2
// that were delegated to them.
func (h *host) at(path string) *host {
	if h.unified == "" || !ordinary() {
		return h
	}
	part := *h
	part.top, _ = h.delegatedTo(path)
	return &part
}

// offered lists the controllers that v2 has at the mount point. Only those
// that the kernel did not give to a v1 hierarchy are there.
func (h *host) offered() ([]string, error) {
	if h.unified == "" {
		return nil, nil
	}
	text, err := readFile(h.unified + h.top + "/cgroup.controllers")
	if err != nil {
		return nil, fmt.Errorf("cgroups: list the controllers: %w", err)
	}
	return strings.Fields(text), nil
}

// only gives the host with those hierarchies alone whose mount points are to be
// kept.
func (h *host) only(keep func(mount string) bool) *host {
	part := *h
	part.legacy = nil
	for _, l := range h.legacy {
		if keep(l.dir) {
			part.legacy = append(part.legacy, l)
		}
	}
	if h.unified != "" && !keep(h.unified) {
		part.unified = ""
	}
	return &part
}

func (h *host) empty() bool { return h.unified == "" && len(h.legacy) == 0 }

// writable leaves out the hierarchies in which the caller cannot make a group.
func (h *host) writable(path string, leaveOut func(error) bool) *host {
	return h.only(func(mount string) bool {
		above := path
		for above != "" && !exists(mount+above) {
			above = above[:strings.LastIndexByte(above, '/')]
		}
		err := unix.Faccessat(unix.AT_FDCWD, mount+above, unix.W_OK, unix.AT_EACCESS)
		if err != nil {
			leaveOut(fmt.Errorf("make a group in %s: %w", mount+above, hint(err)))
		}
		return err == nil
	})
}
