package rootfs

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// Result is what later steps of the container's program need.
type Result struct {
	// Master and Slave are the descriptors of the pseudo-terminal, where
	// one was asked for.
	Master, Slave program.Value
}

// Compile appends the steps that make the root file system to p: the process
// is in a new mount namespace when it reaches them, unless c is Detached, and inside the
// container's root afterwards, with "/" as its working directory and a umask of 0. Without
// sources the program can only be listed. sources must stay open until the
// program was started.
func Compile(p *program.Program, c *Config, sources *Sources) (*Result, error) {
	mounts, err := c.mounts()
	if err != nil {
		return nil, err
	}
	b := &builder{p: p, c: c, empty: p.Str(""), listed: sources == nil}
	if sources == nil {
		sources = &Sources{}
	}
	p.Call(unix.SYS_UMASK, program.Octal(0))
	if c.Inside {
		if err := b.openRoot(mounts); err != nil {
			return nil, err
		}
	} else {
		b.root = p.File(sources.root, "root")
	}
	trees, err := b.make(mounts, sources)
	if err != nil {
		return nil, err
	}
	device := b.devices(mounts, sources)
	if c.Detached {
		b.enterGround(sources.null)
	} else {
		b.enterRoot()
	}
	for i := range mounts {
		m := mounts[i]
		if to, ok := sources.targets[i]; ok {
			m.target = to
		}
		switch {
		case m.remount:
			b.remount(&m)
		case m.inside != "":
			b.bindInside(&m, sources.maps[i])
		case m.bind || m.copyUp && !c.Inside:
			b.bind(&m, trees[i])
		default:
			b.mount(&m, trees[i].tree)
		}
	}
	b.links()
	result := &Result{}
	if ownDev(mounts) {
		if err := b.fillDev(device); err != nil {
			return nil, err
		}
	}
	if c.BeforePivot != nil {
		if c.Detached {
			p.Call(unix.SYS_FCHDIR, b.root).For("enter", "the root")
			c.BeforePivot(p)
		} else {
			c.BeforePivot(p)
			b.makeMask()
		}
	}
	if c.Terminal {
		result.Master, result.Slave = b.terminal()
	}
	for _, path := range c.Spec.Linux.ReadonlyPaths {
		b.protect(clean(path))
	}
	b.hide(c.Spec.Linux.MaskedPaths)
	if err := c.checkRootPropagation(); err != nil {
		return nil, err
	}
	if c.Detached {
		b.leaveDetached()
	} else {
		b.leave()
	}
	return result, nil
}

// checkRootPropagation refuses words that linux.rootfsPropagation does not have.
func (c *Config) checkRootPropagation() error {
	name := c.Spec.Linux.RootfsPropagation
	o := parseOptions([]string{name})
	if o.propagation == 0 && name != "" {
		return fmt.Errorf("linux.rootfsPropagation %q: give shared, slave, private or unbindable (with r before it for all below)", name)
	}
	if c.Detached {
		if err := o.checkDetached(); err != nil {
			return fmt.Errorf("linux.rootfsPropagation: %w", err)
		}
	}
	return nil
}

// enterRoot separates the namespace's mounts from the host's and puts the
// container's root on top of the old one. The process keeps seeing the old
// root until it leaves it.
func (b *builder) enterRoot() {
	p := b.p
	p.Call(unix.SYS_MOUNT, program.Null, p.Str("/"), program.Null,
		program.Sym(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"), program.Null).
		For("separate the mounts from the host's", "")
	if b.c.BeforePivot == nil {
		b.makeMask()
	}
	b.setattr(b.root, attribute{}, unix.MS_SLAVE, true, "the root")
	there := p.Label()
	if b.c.BeforePivot != nil {
		// Hooks look for it where its path says. Where the container's
		// user may not go there it lies where it otherwise does.
		path := b.c.hostPath(b.c.Spec.Root.Path)
		p.Call(unix.SYS_MOVE_MOUNT, b.root, b.empty, cwd, p.Str(path), onPath).For("mount", "the root on "+path).
			Tolerate(unix.EACCES).Then(there)
	}
	b.mountRoot()
	p.Here(there)
}

// mountRoot puts the container's root on top of the host's.
func (b *builder) mountRoot() {
	b.p.Call(unix.SYS_MOVE_MOUNT, b.root, b.empty, cwd, b.p.Str("/"), onPath).For("mount", "the root")
}

// leave makes the container's root the process's and gives up the host's.
func (b *builder) leave() {
	p := b.p
	for _, r := range b.readonly {
		b.setattr(r.mount, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, r.target)
	}
	if b.c.Spec.Root.Readonly {
		b.setattr(b.root, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, "the root")
	}
	if b.c.NoPivot && b.c.BeforePivot != nil {
		b.mountRoot()
	}
	p.Call(unix.SYS_FCHDIR, b.root).For("enter", "the root")
	dot := p.Str(".")
	if b.c.NoPivot {
		p.Call(unix.SYS_CHROOT, dot).For("change root", "")
	} else {
		p.Call(unix.SYS_PIVOT_ROOT, dot, dot).For("pivot_root", "")
		// Each unmounting waits for the kernel: one takes the mask along.
		p.Call(unix.SYS_UMOUNT2, dot, program.Sym(unix.MNT_DETACH, "MNT_DETACH")).For("unmount", "the old root")
	}
	p.Call(unix.SYS_CHDIR, p.Str("/")).For("change directory to", "/")

	o := parseOptions([]string{b.c.Spec.Linux.RootfsPropagation})
	b.setattr(b.root, attribute{}, o.propagation, o.propagationAll, "the root")
}

// bind attaches a tree of the host, or a tmpfs that was filled.
func (b *builder) bind(m *mountOf, t made) {
	b.attach(t.tree, b.target(m.target, t.dir), m.source+" on "+m.target)
	if m.copyUp && (m.set|m.setAll)&unix.MOUNT_ATTR_RDONLY != 0 {
		b.readonly = append(b.readonly, lateReadonly{t.tree, m.target})
	}
}

// bindInside binds what the container has at the source by now.
func (b *builder) bindInside(m *mountOf, users *os.File) {
	p, what := b.p, m.inside+" on "+m.target
	fd, tree, target := p.Var("source"), p.Var("tree"), p.Var("target")
	file, done := p.Label(), p.Label()
	b.open(m.inside, unix.O_PATH|unix.O_DIRECTORY, fd).Tolerate(unix.ENOTDIR).Else(file)
	b.targetInto(m.target, true, target).Then(done)
	p.Here(file)
	b.open(m.inside, unix.O_PATH, fd)
	b.targetInto(m.target, false, target)
	p.Here(done)
	flag := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if m.recursive {
		flag |= unix.AT_RECURSIVE
	}
	p.Call(unix.SYS_OPEN_TREE, fd.Value(), b.empty, flags(flag, treeFlags)).Into(tree).For("clone", m.inside)
	b.setattr(tree.Value(), attribute{m.setAll, m.clearAll}, 0, true, what)
	b.setattr(tree.Value(), m.exact(0), 0, false, what)
	if m.idmap {
		b.setattrBy(tree.Value(), attribute{set: unix.MOUNT_ATTR_IDMAP}, 0, p.File(users, "id map"), m.idmapAll, what)
	}
	b.setattr(tree.Value(), attribute{}, m.propagation, m.propagationAll, what)
	b.attach(tree.Value(), target.Value(), what)
}

// targetInto is target with a place for the descriptor, and returns its last step.
func (b *builder) targetInto(target string, dir bool, into *program.Var) *program.Step {
	fd := b.target(target, dir)
	return b.p.Call(unix.SYS_FCNTL, fd, program.Sym(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), program.Int(0)).Into(into)
}

// mount attaches a file system.
func (b *builder) mount(m *mountOf, mount program.Value) {
	var inherit func(program.Value)
	if m.kind == "tmpfs" && !m.has("mode") {
		inherit = func(target program.Value) { b.sameMode(mount, target, m.target) }
	}
	b.attach(mount, b.targetOr(m.target, true, inherit), m.kind+" on "+m.target)
	b.setattr(mount, attribute{}, m.propagation, m.propagationAll, m.target)
}

// configure gives a file system its options.
func (b *builder) configure(fs program.Value, m *mountOf, what string) {
	p := b.p
	for _, name := range b.c.superFlags(m) {
		s := p.Call(unix.SYS_FSCONFIG, fs, fsconfigOn, p.Str(name), program.Null, program.Int(0)).
			For("mount", what+" with option "+name)
		if name == "iversion" {
			s.Tolerate(unix.EINVAL) // the file systems that count versions always do, since Linux 6.2
		}
	}
	for _, d := range b.c.fsOptions(m) {
		if d[1] == "" {
			p.Call(unix.SYS_FSCONFIG, fs, fsconfigOn, p.Str(d[0]), program.Null, program.Int(0)).
				For("mount", what+" with option "+d[0])
			continue
		}
		p.Call(unix.SYS_FSCONFIG, fs, fsconfigSet, p.Str(d[0]), p.Str(d[1]), program.Int(0)).
			For("mount", what+" with option "+d[0]+"="+d[1])
	}
}

// superFlags are the flags of the file system as a whole. One on a device is
// read-only altogether, since the device may be.
func (c *Config) superFlags(m *mountOf) []string {
	if filepath.IsAbs(m.source) && (m.set|m.setAll)&unix.MOUNT_ATTR_RDONLY != 0 && !m.remount {
		return append(slices.Clone(m.super), "ro")
	}
	return m.super
}

// fsOptions are what the file system itself is told.
func (c *Config) fsOptions(m *mountOf) [][2]string {
	switch m.kind {
	case "proc", "sysfs", "cgroup", "cgroup2": // have labels of their own
		return m.data
	}
	if c.MountLabel == "" || m.has("context") || m.remount {
		return m.data
	}
	return append(slices.Clone(m.data), [2]string{"context", c.MountLabel})
}

// sameMode gives a tmpfs the mode of the directory that it is mounted on.
func (b *builder) sameMode(mount, target program.Value, what string) {
	p := b.p
	const stxMode = 28 // in struct statx; the kernel looks at the 16 bits that it is
	buffer := p.Bytes(make([]byte, 256), "&statx")
	mode := p.Patch(buffer, stxMode, "mode")
	p.Call(unix.SYS_STATX, target, b.empty, emptyPath, program.Sym(unix.STATX_MODE, "STATX_MODE"), buffer).For("look at", what)
	p.Call(unix.SYS_FCHMODAT, mount, p.Str("."), mode.Value()).For("change the mode of", "the tmpfs on "+what)
}

// remount changes a mount that is there already, and what the file system can
// change while it is mounted.
func (b *builder) remount(m *mountOf) {
	p, what := b.p, m.target
	fd := p.Var("mount")
	b.open(m.target, unix.O_PATH, fd).For("remount", what)
	fs, more := p.Var("fs"), !m.bind && len(m.data)+len(m.super) > 0
	if more || b.c.Detached { // it also refuses what is no mount
		p.Call(unix.SYS_FSPICK, fd.Value(), b.empty, program.Sym(unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH, "FSPICK_CLOEXEC|FSPICK_EMPTY_PATH")).
			Into(fs).For("remount", what)
	}
	if more {
		b.configure(fs.Value(), m, what)
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigSure, program.Null, program.Null, program.Int(0)).For("remount", what)
	}
	change := func(mount program.Value) {
		b.setattr(mount, attribute{m.setAll, m.clearAll}, 0, true, what)
		b.setattr(mount, m.exact(0), 0, false, what)
		b.setattr(mount, attribute{}, m.propagation, m.propagationAll, what)
	}
	if b.c.Detached {
		b.over(fd.Value(), what, change)
	} else {
		change(fd.Value())
	}
}

// links makes the links that the configuration asks for.
func (b *builder) links() {
	p := b.p
	for _, l := range b.c.Links {
		p.Call(unix.SYS_SYMLINKAT, p.Str(l[1]), b.dir(path.Dir(l[0])), p.Str(path.Base(l[0]))).
			Tolerate(unix.EEXIST).For("make link", l[0])
	}
}

// protect makes path read-only where it exists.
func (b *builder) protect(path string) {
	p := b.p
	fd, missing := p.Var("path"), p.Label()
	b.open(path, unix.O_PATH, fd).Tolerate(unix.ENOENT).Else(missing)
	b.over(fd.Value(), path+" read-only", func(mount program.Value) {
		b.setattr(mount, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, true, path)
	})
	p.Here(missing)
}

// hide makes directories empty and files read as /dev/null does.
func (b *builder) hide(paths []string) {
	p := b.p
	for _, path := range paths {
		path = clean(path)
		fd, tree := p.Var("path"), p.Var("tree")
		file, done := p.Label(), p.Label()
		b.open(path, unix.O_PATH|unix.O_DIRECTORY, fd).Tolerate(unix.ENOENT, unix.ENOTDIR).Else(file)
		p.Call(unix.SYS_OPEN_TREE, b.mask.Value(), b.empty,
			program.Sym(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH")).
			Into(tree).For("clone", "the mask")
		b.attach(tree.Value(), fd.Value(), "an empty directory on "+path).Then(done)

		p.Here(file)
		b.open(path, unix.O_PATH, fd).Tolerate(unix.ENOENT).Else(done)
		// Never the container's own, which may be a link (CVE-2025-31133).
		if b.c.Detached {
			p.Call(unix.SYS_OPEN_TREE, b.null, b.empty, flags(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH, treeFlags)).
				Into(tree).For("clone", "the host's "+os.DevNull)
		} else {
			p.Call(unix.SYS_OPEN_TREE, cwd, p.Str(os.DevNull),
				program.Sym(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")).
				Into(tree).For("clone", "the host's "+os.DevNull)
		}
		// Read-only, so that its mode and owner cannot be changed from inside.
		b.setattr(tree.Value(), attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, os.DevNull)
		b.attach(tree.Value(), fd.Value(), os.DevNull+" on "+path)
		p.Here(done)
	}
}

// makeMask makes the read-only tmpfs that all masked directories share. Only
// what is attached somewhere can be cloned (before Linux 6.15): it lies on the
// old root's /proc, which nobody looks at any more, and goes with that root.
func (b *builder) makeMask() {
	if len(b.c.Spec.Linux.MaskedPaths) == 0 {
		return
	}
	b.mask = b.newTmpfs("mask", "the mask", unix.MOUNT_ATTR_RDONLY)
	if !b.c.Detached {
		b.p.Call(unix.SYS_MOVE_MOUNT, b.mask.Value(), b.empty, cwd, b.p.Str("/proc"), onPath).For("mount", "the mask")
	}
}
