package cgroups

import (
	"slices"
	"strings"
)

// mount is the line of a cgroup hierarchy in the mount table.
type mount struct {
	device, root, dir, fstype string
	options                   string // of the file system, not of the mount
}

// known are the controllers of v1. The list tells them from the other options
// of a hierarchy (xattr, noprefix, release_agent=…).
var known = []string{
	"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids",
	"hugetlb", "net_cls", "net_prio", "perf_event", "rdma", "misc",
}

// parseMount reads one line: "31 23 0:28 /root /dir rw,… [tag:N…] - type
// source options". Lines of other file systems are not ok.
func parseMount(line string) (m mount, ok bool) {
	left, right, found := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	f, g := strings.Fields(left), strings.Fields(right)
	if !found || len(f) < 6 || len(g) < 3 || g[0] != "cgroup" && g[0] != "cgroup2" {
		return mount{}, false
	}
	return mount{device: f[2], root: unescape(f[3]), dir: unescape(f[4]), fstype: g[0], options: g[2]}, true
}

// unescape undoes what the kernel does to blanks and backslashes in the table.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// usual says whether the mount is where distributions have it.
func (m *mount) usual() bool {
	return m.dir == mountPoint || strings.HasPrefix(m.dir, mountPoint+"/")
}

// controllers gives those of a v1 hierarchy, or its name.
func (m *mount) controllers() []string {
	var list []string
	for option := range strings.SplitSeq(m.options, ",") {
		if slices.Contains(known, option) || strings.HasPrefix(option, "name=") {
			list = append(list, option)
		}
	}
	return list
}
