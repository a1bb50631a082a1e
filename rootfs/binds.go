package rootfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Bind is a mount of something of the host's in a container.
type Bind struct {
	Target string // where links of the image lead, as the mount table has it
	Source string // absolute
	IDMap  bool   // its ids are mapped
	// Attributes are the MOUNT_ATTR_* that restrict it: read-only, no set-user-id
	// programs, no devices, no execution, no symbolic links.
	Attributes uint64
}

const restrictions = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW

// Binds lists what of the host's a container has mounted: bind mounts, and
// devices where they are bound.
func (c *Config) Binds() (list []Bind, err error) {
	mounts, err := c.mounts()
	if err != nil {
		return nil, err
	}
	root, err := openPath(c.hostPath(c.Spec.Root.Path))
	if err != nil {
		return nil, fmt.Errorf("root.path: %w", err)
	}
	defer root.Close()
	for i := range mounts {
		m := &mounts[i]
		if !m.bind || m.remount || m.inside != "" {
			continue
		}
		target, err := follow(root, m.target)
		if err != nil {
			return nil, fmt.Errorf("mounts: %s: %w", m.target, err)
		}
		list = append(list, Bind{target, c.hostPath(m.source), m.idmap, (m.set | m.setAll) & restrictions})
	}
	if c.UserNamespace && ownDev(mounts) {
		for _, d := range c.devices() {
			list = append(list, Bind{Target: d.Path, Source: d.Path})
		}
	}
	return list, nil
}

// Follow is where the links of an image lead a target, as the mount table has
// it then; what is missing stays as it is.
func Follow(root, target string) (string, error) {
	dir, err := openPath(root)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return follow(dir, clean(target))
}

func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
