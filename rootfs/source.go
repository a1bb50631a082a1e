package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/peapod/peapod/internal/kernel"
	"golang.org/x/sys/unix"
)

// Sources are what a container takes from the host, opened: detached trees,
// which belong to no mount namespace yet.
type Sources struct {
	root    *os.File
	binds   map[int]source      // by index of the mount
	devices map[string]*os.File // by path, where devices are bound
	null    *os.File            // for masked files, where the process does not see the host's
	maps    map[int]*os.File    // user namespaces that map mounts, by index
	targets map[int]string      // where links of the image lead that dangle, by index

	made map[string]*os.File // user namespaces by their maps
}

type source struct {
	tree *os.File
	dir  bool
}

// Close closes the trees; those that were attached stay.
func (s *Sources) Close() {
	s.root.Close()
	s.null.Close()
	for _, b := range s.binds {
		b.tree.Close()
	}
	for _, d := range s.devices {
		d.Close()
	}
	for _, m := range s.made {
		m.Close()
	}
}

// Open opens what c takes from the host. It needs CAP_SYS_ADMIN.
func Open(c *Config) (_ *Sources, err error) {
	if err := kernel.Check(); err != nil {
		return nil, err
	}
	mounts, err := c.mounts()
	if err != nil {
		return nil, err
	}
	s := &Sources{
		binds: map[int]source{}, devices: map[string]*os.File{},
		maps: map[int]*os.File{}, targets: map[int]string{}, made: map[string]*os.File{},
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.root, err = c.openRoot(); err != nil {
		return nil, err
	}
	for i := range mounts {
		if err := s.open(c, mounts, i); err != nil {
			return nil, fmt.Errorf("mounts: %s: %w", mounts[i].target, err)
		}
	}
	if c.Detached && len(c.Spec.Linux.MaskedPaths) > 0 {
		if s.null, err = openTree(os.DevNull, 0); err != nil {
			return nil, err
		}
	}
	if c.UserNamespace && ownDev(mounts) {
		for _, d := range c.devices() {
			if s.devices[d.Path], err = openTree(d.Path, 0); err != nil {
				return nil, fmt.Errorf("device %s: %w", d.Path, err)
			}
		}
	}
	return s, nil
}

// open opens what a mount takes from the host.
func (s *Sources) open(c *Config, mounts []mountOf, i int) (err error) {
	m := &mounts[i]
	if m.remount {
		return nil
	}
	if m.idmap {
		if s.maps[i], err = s.userNamespace(c, m); err != nil {
			return err
		}
	}
	switch {
	case !c.opensBefore(m):
	case m.copyUp:
		s.binds[i], err = c.copyUp(s.root, m)
	default:
		s.binds[i], err = c.openBind(m, s.maps[i])
	}
	if err == nil && !slices.ContainsFunc(mounts[:i], func(e mountOf) bool { return below(m.target, e.target) }) {
		err = s.followTarget(i, m.target)
	}
	return err
}

// openRoot opens the image, or an overlay of it, as a tree.
func (c *Config) openRoot() (*os.File, error) {
	path := c.hostPath(c.Spec.Root.Path)
	if err := checkRoot(path); err != nil {
		return nil, err
	}
	if c.Overlay != nil {
		return c.Overlay.open(path)
	}
	tree, err := openTree(path, unix.AT_RECURSIVE)
	if err != nil {
		return nil, fmt.Errorf("root.path: %w", err)
	}
	return tree, nil
}

// openBind opens the source of a bind mount and gives it its attributes.
func (c *Config) openBind(m *mountOf, users *os.File) (source, error) {
	path := c.hostPath(m.source)
	info, err := os.Stat(path)
	if err != nil {
		return source{}, fmt.Errorf("source: %w", err)
	}
	recursive := uint(0)
	if m.recursive {
		recursive = unix.AT_RECURSIVE
	}
	tree, err := openTree(path, recursive)
	if err != nil {
		return source{}, err
	}
	propagation := uint64(0)
	if m.propagation == 0 {
		// What is mounted in the container must not appear on the host.
		propagation = c.unshared()
	}
	locked, err := c.lockedTree(tree, m)
	if err == nil {
		err = setAttr(tree, attribute{m.setAll, m.clearAll}, propagation, unix.AT_RECURSIVE)
	}
	if err == nil {
		err = setAttr(tree, m.exact(locked), 0, 0)
	}
	if err == nil && users != nil {
		err = mapIDs(tree, users, m.idmapAll)
	}
	if err == nil && m.propagation != 0 {
		err = setAttr(tree, attribute{}, m.propagation, m.propagationScope())
	}
	if err != nil {
		tree.Close()
		return source{}, fmt.Errorf("source %s: %w", path, err)
	}
	return source{tree, info.IsDir()}, nil
}

// lockedTree is locked for a tree: attributes that a user namespace has to leave as
// they are. Its root could not clear them, and so the set-up does not either.
func (c *Config) lockedTree(tree *os.File, m *mountOf) (uint64, error) {
	if !c.UserNamespace || m.set|m.clear|m.clearAll == 0 {
		return 0, nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(tree.Fd()), &st); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	// ST_RDONLY, ST_NOSUID, ST_NODEV and ST_NOEXEC have the same numbers.
	locked := uint64(st.Flags) & lockable
	if name := m.unlocks(locked); name != "" {
		return 0, errLocked(name)
	}
	return locked, nil
}

func errLocked(option string) error {
	return fmt.Errorf("option %s: the mount of the source has the opposite, which a container with a user namespace cannot take off: %w: leave the option out", option, unix.EPERM)
}

func (o *options) propagationScope() uint {
	if o.propagationAll {
		return unix.AT_RECURSIVE
	}
	return 0
}

// openTree clones the mount at path, detached.
func openTree(path string, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
	if err != nil {
		return nil, explain("open_tree "+path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func setAttr(tree *os.File, a attribute, propagation uint64, flags uint) error {
	if a == (attribute{}) && propagation == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: a.set, Attr_clr: a.clear, Propagation: propagation}
	err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|flags, &attr)
	if err != nil {
		return explain("mount_setattr "+attrShow{a, propagation}.String(), err)
	}
	return nil
}

// explain adds to the errors of the mount calls what they usually mean.
func explain(what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s: %w: this needs root (CAP_SYS_ADMIN)", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// open makes the overlay of lower, detached. The kernel gets the directories
// as descriptors: no character of a path needs escaping then.
func (o *Overlay) open(lower string) (*os.File, error) {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, explain("make an overlay of "+lower+" (fsopen)", err)
	}
	fs := os.NewFile(uintptr(fsfd), "overlay")
	defer fs.Close()
	for _, dir := range [][2]string{{"lowerdir", lower}, {"upperdir", o.Upper}, {"workdir", o.Work}} {
		fd, err := unix.Open(dir[1], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("overlay %s %s: %w", dir[0], dir[1], err)
		}
		defer unix.Close(fd)
		if err := unix.FsconfigSetString(fsfd, dir[0], "/proc/self/fd/"+strconv.Itoa(fd)); err != nil {
			return nil, explain("overlay "+dir[0]+" "+dir[1], err)
		}
	}
	// What a container wrote is of no use after a crash of the machine, so
	// that its unmounting need not wait for the disk (Linux 5.10).
	if err := unix.FsconfigSetFlag(fsfd, "volatile"); err != nil {
		return nil, explain("overlay option volatile", err)
	}
	if err := unix.FsconfigSetString(fsfd, "source", "peapod"); err != nil {
		return nil, explain("overlay source", err)
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, explain(fmt.Sprintf("make an overlay of %s and %s%s", lower, o.Upper, messages(fs)), err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, explain("mount the overlay of "+lower, err)
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}

// messages are what the kernel says about a failed fsconfig, in brackets.
func messages(fs *os.File) string {
	b := make([]byte, 512)
	n, err := unix.Read(int(fs.Fd()), b)
	if err != nil || n < 3 {
		return ""
	}
	return " (" + string(b[2:n]) + ")"
}
