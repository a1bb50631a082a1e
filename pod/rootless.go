package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// rootless tells that an ordinary user runs pods. Each has a user namespace, in
// which he is root, and a mount namespace of that, in which its volumes in memory
// are. What a supervisor that is root does itself, programs do there.
func rootless() bool { return os.Geteuid() != 0 }

// userData is where an ordinary user's data is kept (XDG Base Directory
// Specification).
func userData() string {
	dir := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return DefaultData // which says whose that is
		}
		dir = filepath.Join(home, ".local/share")
	}
	return filepath.Join(dir, "peapod")
}

// checkRootless refuses what an ordinary user cannot have, before anything is
// made.
func (p *Pod) checkRootless(resolved []*Resolved) (*namespaces.IDMaps, error) {
	if !rootless() {
		return nil, nil
	}
	ids, why := namespaces.UserMaps()
	ps := &problems{object: p, pod: p}
	for i, r := range resolved {
		at := containerPath(i)
		ps.mapped(at, r.Process.User, &ids, why)
		for j, m := range r.Container.VolumeMounts {
			if v := p.volume(m.Name); m.SubPath != "" && v != nil && v.EmptyDir != nil && v.EmptyDir.Medium == MediumMemory {
				ps.addf(fmt.Sprintf("%s.volumeMounts[%d].subPath", at, j), "of a volume in memory only root can mount a part; leave out medium: Memory, or run the pod with sudo")
			}
		}
	}
	return &ids, ps.errs.Err()
}

// mapped refuses users and groups that there are none of.
func (ps *problems) mapped(at string, u specs.User, ids *namespaces.IDMaps, why string) {
	has := func(list []syscall.SysProcIDMap, id uint32) bool {
		return slices.ContainsFunc(list, func(m syscall.SysProcIDMap) bool {
			return int(id) >= m.ContainerID && int(id) < m.ContainerID+m.Size
		})
	}
	if why == "" {
		why = "the range in /etc/subuid or /etc/subgid is too small"
	}
	switch {
	case !has(ids.Users, u.UID):
		ps.addf(at+".securityContext.runAsUser", "the container would run as user %d, and this user has none to be it: %s", u.UID, why)
	case !has(ids.Groups, u.GID):
		ps.addf(at+".securityContext.runAsGroup", "the container would run as group %d, and this user has none to be it: %s", u.GID, why)
	}
	for _, gid := range u.AdditionalGids {
		if ids.OnlyOwn() || !has(ids.Groups, gid) {
			ps.addf(at, "the container would be in group %d too, and this user has none to be it: %s", gid, why)
			return
		}
	}
}

// giveUser makes a container's spec one of the pod's user namespace.
func (s *Supervisor) giveUser(spec *specs.Spec) {
	if s.ids == nil {
		return
	}
	l := spec.Linux
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: s.set.Path(namespaces.User)})
	l.UIDMappings, l.GIDMappings = mappings(s.ids.Users), mappings(s.ids.Groups)
	l.Resources = s.userResources(l.Resources)
	if l.CgroupsPath == "" {
		spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" })
	}
	for i := range spec.Mounts {
		switch m := &spec.Mounts[i]; {
		case m.Type == "devpts" && s.ids.OnlyOwn():
			m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return strings.HasPrefix(o, "gid=") })
		case m.Type == "sysfs" && s.onHost():
			// It shows the network namespace, which is not of this user.
			m.Type, m.Source, m.Options = "bind", "/sys", []string{"rbind", "nosuid", "noexec", "nodev", "ro"}
		}
	}
}

func mappings(list []syscall.SysProcIDMap) (m []specs.LinuxIDMapping) {
	for _, l := range list {
		m = append(m, specs.LinuxIDMapping{ContainerID: uint32(l.ContainerID), HostID: uint32(l.HostID), Size: uint32(l.Size)})
	}
	return m
}

// mountTmpfs mounts a file system in memory where the pod's containers see it.
func (s *Supervisor) mountTmpfs(path, options string, flags uintptr) error {
	if s.ids == nil {
		return mountTmpfs(path, options, flags)
	}
	return namespaces.MountTmpfs(s.set.File(namespaces.Mount), namespaces.Tmpfs{Path: path, Data: options, Flags: flags})
}

// giveGroup lets a group write to a directory of the pod, and have what is made
// there.
func (s *Supervisor) giveGroup(path string, gid int) error {
	if s.ids != nil {
		return namespaces.ChangeGroup(s.set.File(namespaces.Mount), path, gid, 0o2777)
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return err
	}
	return os.Chmod(path, 0o777|os.ModeSetgid)
}

// removeAll removes a directory of a pod's data. An ordinary user's pods may have
// left files of other ids there, and overlays leave directories that nobody may
// look into.
func removeAll(ctx context.Context, path string) error {
	err := os.RemoveAll(path)
	if !rootless() || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	ids, _ := namespaces.UserMaps()
	if !ids.OnlyOwn() {
		return ids.Remove(ctx, path)
	}
	filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// deniedPort tells which host ports ordinary users may listen on.
func deniedPort(err error) string {
	first := "1024"
	if data, e := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); e == nil {
		first = strings.TrimSpace(string(data))
	}
	if rootless() && errors.Is(err, unix.EACCES) {
		return first
	}
	return ""
}

// userNetwork refuses networks that an ordinary user's pods cannot have.
func userNetwork(n networks.Spec) (networks.Spec, error) {
	switch n.Mode {
	case networks.None, networks.Host, networks.Auto, networks.Pasta, networks.Slirp:
		return n, nil
	}
	return n, fmt.Errorf("network %s: %w: only root can attach pods to it; ordinary users' pods have network none, host, pasta or slirp4netns", n, unix.EPERM)
}
