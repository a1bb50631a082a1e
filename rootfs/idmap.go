package rootfs

import (
	"fmt"
	"os"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// userNamespace is the user namespace that maps a mount: one with the mount's
// own maps, or the container's. Mounts with the same maps share one.
func (s *Sources) userNamespace(c *Config, m *mountOf) (*os.File, error) {
	users, groups := m.users, m.groups
	if len(users) == 0 {
		if c.IDMap.Namespace != nil {
			return c.IDMap.Namespace, nil
		}
		users, groups = c.IDMap.Users, c.IDMap.Groups
	}
	key := fmt.Sprint(users, groups)
	if s.made[key] == nil {
		ns, err := newUserNamespace(users, groups)
		if err != nil {
			return nil, fmt.Errorf("make the user namespace of an id map: %w", err)
		}
		s.made[key] = ns
	}
	return s.made[key], nil
}

// newUserNamespace makes a user namespace that nobody is in. It is born with a
// process, which waits until somebody has opened it.
func newUserNamespace(users, groups []specs.LinuxIDMapping) (*os.File, error) {
	p := program.New()
	p.Sync("opened")
	p.Exit(0)
	process, err := p.Start(&program.Attr{Sys: syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: sysMap(users), GidMappings: sysMap(groups), GidMappingsEnableSetgroups: true,
	}})
	if err != nil {
		return nil, err
	}
	defer process.Abort()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", process.Pid))
}

func sysMap(list []specs.LinuxIDMapping) (m []syscall.SysProcIDMap) {
	for _, l := range list {
		m = append(m, syscall.SysProcIDMap{ContainerID: int(l.ContainerID), HostID: int(l.HostID), Size: int(l.Size)})
	}
	return m
}

// mapIDs makes a detached mount show other owners than the file system has
// (Linux 5.12; each kind of file system since a version of its own).
func mapIDs(tree, users *os.File, all bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if all {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	err := unix.MountSetattr(int(tree.Fd()), "", flags, &attr)
	if err == unix.EINVAL {
		return fmt.Errorf("id-map the mount: %w: its file system cannot be id-mapped with this kernel, or it is id-mapped already", err)
	}
	if err != nil {
		return explain("id-map the mount (mount_setattr)", err)
	}
	return nil
}

// host is the user or group of the host that n of the container is.
func hostID(list []specs.LinuxIDMapping, n uint32) (uint32, bool) {
	for _, l := range list {
		if n >= l.ContainerID && n-l.ContainerID < l.Size {
			return l.HostID + n - l.ContainerID, true
		}
	}
	return n, len(list) == 0
}
