package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// together are the controllers that distributions mount as one, under names of
// their own besides.
var together = []string{"cpu,cpuacct", "net_cls,net_prio"}

// mountV1 mounts all controllers that the kernel has as systemd does when it is
// told to use cgroup v1 alone.
func mountV1() error {
	if err := mount("tmpfs", cgroupMount, "mode=755", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC); err != nil {
		return err
	}
	list, err := controllers()
	if err != nil {
		return err
	}
	for _, data := range append(list, "none,name=systemd,xattr") {
		dir := data
		if _, name, ok := strings.Cut(data, "name="); ok {
			dir, _, _ = strings.Cut(name, ",")
		}
		if err := mount("cgroup", filepath.Join(cgroupMount, dir), data, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC); err != nil {
			return err
		}
	}
	return nil
}

// controllers lists what is mounted together, each as the mount's options; the
// names of those that are two lead there.
func controllers() (list []string, err error) {
	data, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasPrefix(f[0], "#") || f[3] != "1" {
			continue
		}
		name := f[0]
		for _, both := range together {
			if slices.Contains(strings.Split(both, ","), name) {
				if err := os.Symlink(both, filepath.Join(cgroupMount, name)); err != nil {
					return nil, fmt.Errorf("name the controllers %s: %w", both, err)
				}
				name = both
			}
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}
