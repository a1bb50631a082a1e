package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// What a program opens itself it finds by path, in a copy of the caller's mount
// namespace, while the old root is still the process's and nothing of the container's is
// mounted. An ordinary user cannot clone a mount, but the root of his user namespace can.

// openRoot appends the steps that open the image.
func (b *builder) openRoot(mounts []mountOf) error {
	c := b.c
	path := c.hostPath(c.Spec.Root.Path)
	if err := checkRoot(path); err != nil && !b.listed {
		return err
	}
	for i := range mounts {
		if err := c.checkInside(&mounts[i]); err != nil && !b.listed {
			return fmt.Errorf("mounts: %s: %w", mounts[i].target, err)
		}
	}
	if c.Overlay != nil {
		b.root = b.overlay(path, c.Overlay)
	} else {
		b.root = b.openTree(path, true, "root.path").Value()
	}
	return nil
}

// devices gives the devices of the host that are bound, by path.
func (b *builder) devices(mounts []mountOf, s *Sources) func(path string) program.Value {
	if !b.c.Inside {
		return func(path string) program.Value { return b.p.File(s.devices[path], path) }
	}
	list := map[string]program.Value{}
	if ownDev(mounts) {
		for _, d := range b.c.devices() {
			list[d.Path] = b.openTree(d.Path, false, "device "+d.Path).Value()
		}
	}
	return func(path string) program.Value { return list[path] }
}

// checkInside refuses what takes more than the root of a user namespace may do.
func (c *Config) checkInside(m *mountOf) error {
	if m.idmap {
		return fmt.Errorf("option idmap: an ordinary user cannot id-map mounts of the host: %w", unix.EPERM)
	}
	if !m.copyUp {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(c.hostPath(c.Spec.Root.Path), m.target))
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("option tmpcopyup: copying needs root; without it the directory has to be empty: leave the option out")
	}
	return nil
}

// openTree clones the mount at path, detached.
func (b *builder) openTree(path string, recursive bool, what string) *program.Var {
	tree := b.p.Var("tree")
	flag, name := uint64(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC), "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"
	if recursive {
		flag, name = flag|unix.AT_RECURSIVE, name+"|AT_RECURSIVE"
	}
	b.p.Call(unix.SYS_OPEN_TREE, cwd, b.p.Str(path), program.Sym(flag, name)).Into(tree).For("open", what)
	return tree
}

// openBind opens the source of a bind mount and gives it its attributes.
func (b *builder) openBind(m *mountOf) (program.Value, bool, error) {
	path := b.c.hostPath(m.source)
	info, err := os.Stat(path)
	if err != nil && !b.listed {
		return program.Null, false, fmt.Errorf("source: %w", err)
	}
	tree, err := b.openSource(path, m.recursive)
	if err != nil {
		return program.Null, false, err
	}
	propagation := uint64(0)
	if m.propagation == 0 {
		propagation = unix.MS_SLAVE // as Sources has it
	}
	what, held := "source "+path, uint64(0)
	if b.c.UserNamespace {
		held = locked(path)
	}
	if all := (attribute{m.setAll, m.clearAll}); all != (attribute{}) || propagation != 0 {
		b.setattr(tree, all, propagation, true, what)
	}
	if name := m.unlocks(held); name != "" {
		return program.Null, false, errLocked(name)
	}
	b.setattr(tree, m.exact(held), 0, false, what)
	if m.propagation != 0 {
		b.setattr(tree, attribute{}, m.propagation, m.propagationAll, what)
	}
	return tree, info == nil || info.IsDir(), nil
}

// openSource opens path, or what a descriptor of the caller's stands for. That
// is from another mount namespace and cannot be cloned: it is looked up again,
// and no symbolic link is followed on the way, so that it is what was checked.
func (b *builder) openSource(path string, recursive bool) (program.Value, error) {
	if !strings.HasPrefix(path, "/proc/self/fd/") {
		return b.openTree(path, recursive, "source "+path).Value(), nil
	}
	real, err := os.Readlink(path)
	if err != nil && !b.listed {
		return program.Null, err
	}
	p, fd, tree := b.p, b.p.Var("source"), b.p.Var("tree")
	p.Call(unix.SYS_OPENAT2, cwd, p.Str(real), p.Bytes(openHowNoLinks(), "{O_PATH|O_CLOEXEC, RESOLVE_NO_SYMLINKS}"), program.Int(openHowSize)).
		Into(fd).For("open", "source "+real)
	flag, name := uint64(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH), "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH"
	if recursive {
		flag, name = flag|unix.AT_RECURSIVE, name+"|AT_RECURSIVE"
	}
	p.Call(unix.SYS_OPEN_TREE, fd.Value(), b.empty, program.Sym(flag, name)).Into(tree).For("open", "source "+real)
	return tree.Value(), nil
}

// locked are the attributes of the mount that path is on, which nobody but who
// mounted it may take off (mount_namespaces(7)).
func locked(path string) (attr uint64) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0
	}
	for _, l := range [...]struct {
		flag int64
		attr uint64
	}{
		{unix.ST_RDONLY, unix.MOUNT_ATTR_RDONLY}, {unix.ST_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.ST_NODEV, unix.MOUNT_ATTR_NODEV}, {unix.ST_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	} {
		if int64(st.Flags)&l.flag != 0 {
			attr |= l.attr
		}
	}
	return attr
}

// overlay makes the overlay of lower, detached. In a user namespace it keeps its
// notes in attributes that belong to users (userxattr, Linux 5.11).
func (b *builder) overlay(lower string, o *Overlay) program.Value {
	p, fs, mount := b.p, b.p.Var("fs"), b.p.Var("overlay")
	what := "an overlay of " + lower
	p.Call(unix.SYS_FSOPEN, p.Str("overlay"), program.Sym(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")).Into(fs).For("make", what)
	for _, dir := range [][2]string{{"lowerdir", lower}, {"upperdir", o.Upper}, {"workdir", o.Work}, {"source", "peapod"}} {
		value := dir[1]
		if dir[0] != "source" {
			value = escapeOverlay(value)
		}
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigSet, p.Str(dir[0]), p.Str(value), program.Int(0)).For("make", what+" with "+dir[0]+" "+dir[1])
	}
	for _, flag := range []string{"volatile", "userxattr"} {
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigOn, p.Str(flag), program.Null, program.Int(0)).For("make", what+" with "+flag)
	}
	p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigNew, program.Null, program.Null, program.Int(0)).For("make", what+" and "+o.Upper)
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Sym(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), program.Int(0)).Into(mount).For("mount", what)
	return mount.Value()
}

// escapeOverlay writes a path as overlayfs reads it, where a colon separates.
func escapeOverlay(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(path)
}

// checkRoot refuses what is no image before anything is made.
func checkRoot(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("root.path: %w: this user may not read it", err)
	case err != nil:
		return fmt.Errorf("root.path: %w", err)
	case !info.IsDir():
		return fmt.Errorf("root.path: %s is not a directory: give that of an unpacked image", path)
	}
	return nil
}
