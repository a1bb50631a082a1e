package namespaces

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ipcSysctls are the names below kernel that belong to an ipc namespace,
// ipc_namespaces(7).
var ipcSysctls = []string{
	"auto_msgmni", "msg_next_id", "msgmax", "msgmnb", "msgmni", "sem", "sem_next_id",
	"shm_next_id", "shm_rmid_forced", "shmall", "shmmax", "shmmni",
}

// planSysctls lists the writes in the order of the names, so that equal options
// do equal things.
func planSysctls(values map[string]string, kinds []Kind) ([]step, error) {
	var steps []step
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path, kind, err := parseSysctl(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(kinds, kind) {
			return nil, fmt.Errorf("%w: sysctl %q: needs a new %s namespace", ErrOption, name, kind)
		}
		// /proc/sys answers for the namespaces of the thread that opens the
		// file. The detour over /proc/self would be wrong: that is the
		// main thread.
		file, value := "/proc/sys/"+path, values[name]
		steps = append(steps, step{"set sysctl " + name + " to", fmt.Sprintf("%q", value), func() error {
			return write(file, value)
		}})
	}
	return steps, nil
}

// parseSysctl returns the path below /proc/sys and the kind of namespace to
// which a sysctl belongs. As in sysctl(8) the first separator tells whether
// dots or slashes separate; the other one then stands for itself ("/" for the
// dot in net.ipv4.conf.eth0/5.forwarding).
func parseSysctl(name string) (path string, kind Kind, err error) {
	path = name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		path = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	parts := strings.Split(path, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsRune(p, 0) {
			return "", "", fmt.Errorf("%w: sysctl %q: not a name such as net.ipv4.ip_forward", ErrOption, name)
		}
	}
	switch {
	case parts[0] == "net" && len(parts) > 1:
		return path, Network, nil
	case parts[0] == "fs" && len(parts) == 3 && parts[1] == "mqueue":
		return path, IPC, nil
	case parts[0] == "kernel" && len(parts) == 2 && slices.Contains(ipcSysctls, parts[1]):
		return path, IPC, nil
	case path == "kernel/hostname" || path == "kernel/domainname":
		return path, UTS, nil
	}
	return "", "", fmt.Errorf("%w: sysctl %q: does not belong to a network, ipc or uts namespace; it would change the host", ErrOption, name)
}

// write writes a value in one call, as sysctls want it.
func write(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}
