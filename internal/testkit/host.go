package testkit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Mark is in the name of all that this run makes on the host: of its Scratch,
// and of the cgroups, containers and pods of tests that begin their names so.
var Mark = fmt.Sprintf("test-%d-", os.Getpid())

// Outside lists the mounts, cgroups and processes of the host that belong to
// names with mark in them.
func Outside(mark string) (list []string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, mark) || strings.Contains(line, " overlay peapod ") {
			list = append(list, "mount "+strings.TrimSpace(line))
		}
	}
	list = append(list, Groups(mark)...)
	others, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, file := range others {
		if file == fmt.Sprintf("/proc/%d/mountinfo", os.Getpid()) {
			continue
		}
		if root := firstLine(file); strings.Contains(root, mark) {
			list = append(list, "process "+filepath.Base(filepath.Dir(file))+" with the root "+root)
		}
	}
	return list
}

// firstLine reads no more than it has to: the kernel makes the table as it is
// read, and there are as many as processes.
func firstLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 4096)
	n, _ := f.Read(b)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	return line
}

// Groups lists the cgroups with mark in their names, in all hierarchies.
func Groups(mark string) (list []string) {
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it went meanwhile, or is a setting
		}
		if strings.Contains(d.Name(), mark) {
			list = append(list, "cgroup "+path)
			return fs.SkipDir
		}
		return nil
	})
	return list
}
