package runtime

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// check refuses what cannot be run, before anything is made: what is missing,
// what contradicts itself, and what is not supported.
func check(spec *specs.Spec, m *membership) error {
	switch {
	case spec.Root == nil || spec.Root.Path == "":
		return fmt.Errorf("root.path: is missing: give the directory of the unpacked image")
	}
	if err := checkHooks(spec.Hooks); err != nil {
		return err
	}
	if err := checkStrings(spec); err != nil {
		return err
	}
	l := spec.Linux
	if err := checkNetDevices(l.NetDevices, m); err != nil {
		return err
	}
	if err := checkRdt(l.IntelRdt); err != nil {
		return err
	}
	return checkSysctl(l.Sysctl, m)
}

// checkStrings refuses strings that the kernel would see the beginning of only.
// Those of the process and of the mounts are looked at with the rest of them.
func checkStrings(spec *specs.Spec) error {
	l := spec.Linux
	lists := map[string][]string{
		"hostname": {spec.Hostname}, "domainname": {spec.Domainname}, "root.path": {spec.Root.Path},
		"linux.maskedPaths": l.MaskedPaths, "linux.readonlyPaths": l.ReadonlyPaths,
		"linux.cgroupsPath": {l.CgroupsPath}, "linux.mountLabel": {l.MountLabel},
	}
	for _, d := range l.Devices {
		lists["linux.devices"] = append(lists["linux.devices"], d.Path)
	}
	for name, value := range l.Sysctl {
		lists["linux.sysctl"] = append(lists["linux.sysctl"], name, value)
	}
	for field, list := range lists {
		for _, s := range list {
			if strings.ContainsRune(s, 0) {
				return fmt.Errorf("%s: %q contains a NUL character", field, s)
			}
		}
	}
	return nil
}

// checkSysctl refuses settings that are not the container's own.
func checkSysctl(list map[string]string, m *membership) error {
	for name := range list {
		key := sysctlPath(name)
		var flag uint64
		var kind string
		switch first := strings.SplitN(key, "/", 3); {
		case key != path.Clean(key) || strings.Contains(key, ".."):
			return fmt.Errorf("linux.sysctl %q: is no name of a setting", name)
		case first[0] == "net":
			flag, kind = unix.CLONE_NEWNET, "network"
		case strings.HasPrefix(key, "kernel/msg"), strings.HasPrefix(key, "kernel/shm"), key == "kernel/sem",
			strings.HasPrefix(key, "fs/mqueue/"):
			flag, kind = unix.CLONE_NEWIPC, "ipc"
		case key == "kernel/domainname", key == "kernel/hostname":
			flag, kind = unix.CLONE_NEWUTS, "uts"
		default:
			return fmt.Errorf("linux.sysctl %q: is a setting of the whole host, not of a container", name)
		}
		if !m.has(flag) && !m.joins(namespaces.Kind(kind)) {
			return fmt.Errorf("linux.sysctl %q: would change the host: add a %s namespace", name, kind)
		}
	}
	return nil
}

// sysctlPath is the file below /proc/sys: both net.ipv4.x and net/ipv4/x are
// allowed (sysctl(8)).
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return name
	}
	return strings.ReplaceAll(name, ".", "/")
}
