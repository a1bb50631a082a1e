package rootfs

import (
	"fmt"
	"os"

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
// is in a new mount namespace when it reaches them, and inside the container's
// root afterwards, with "/" as its working directory and a umask of 0. Without
// sources the program can only be listed. sources must stay open until the
// program was started.
func Compile(p *program.Program, c *Config, sources *Sources) (*Result, error) {
	mounts, err := c.mounts()
	if err != nil {
		return nil, err
	}
	if sources == nil {
		sources = &Sources{}
	}
	b := &builder{p: p, c: c, empty: p.Str("")}
	b.root = p.File(sources.root, "root")
	p.Call(unix.SYS_UMASK, program.Octal(0))
	b.enterRoot()
	for i := range mounts {
		if mounts[i].bind {
			b.bind(&mounts[i], sources.binds[i])
		} else {
			b.mount(&mounts[i])
		}
	}
	result := &Result{}
	if ownDev(mounts) {
		if err := b.fillDev(sources); err != nil {
			return nil, err
		}
	}
	if c.Terminal {
		result.Master, result.Slave = b.terminal()
	}
	for _, path := range c.Spec.Linux.ReadonlyPaths {
		b.protect(clean(path))
	}
	b.hide(c.Spec.Linux.MaskedPaths)
	return result, b.leave()
}

// enterRoot separates the namespace's mounts from the host's and puts the
// container's root on top of the old one. The process keeps seeing the old
// root until it leaves it.
func (b *builder) enterRoot() {
	p := b.p
	p.Call(unix.SYS_MOUNT, program.Null, p.Str("/"), program.Null,
		program.Sym(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"), program.Null).
		For("separate the mounts from the host's", "")
	if len(b.c.Spec.Linux.MaskedPaths) > 0 {
		b.makeMask()
	}
	b.setattr(b.root, attribute{}, unix.MS_SLAVE, true, "the root")
	p.Call(unix.SYS_MOVE_MOUNT, b.root, b.empty, cwd, p.Str("/"), onPath).For("mount", "the root")
}

// leave makes the container's root the process's and gives up the host's.
func (b *builder) leave() error {
	p := b.p
	for _, r := range b.readonly {
		b.setattr(r.mount, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, r.target)
	}
	if b.c.Spec.Root.Readonly {
		b.setattr(b.root, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, "the root")
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

	name := b.c.Spec.Linux.RootfsPropagation
	if name == "" {
		return nil
	}
	var o options
	if err := o.add(name); err != nil || o.propagation == 0 {
		return fmt.Errorf("linux.rootfsPropagation %q: give shared, slave, private or unbindable (with r before it for all below)", name)
	}
	b.setattr(b.root, attribute{}, o.propagation, o.propagationAll, "the root")
	return nil
}

// bind attaches a tree of the host.
func (b *builder) bind(m *mountOf, s source) {
	tree := b.p.File(s.tree, m.source)
	target := b.target(m.target, s.dir || s.tree == nil)
	b.attach(tree, target, m.source+" on "+m.target)
}

// mount makes a file system and attaches it.
func (b *builder) mount(m *mountOf) {
	p, what := b.p, m.kind+" on "+m.target
	fs, mount := p.Var("fs"), p.Var("mount")
	p.Call(unix.SYS_FSOPEN, p.Str(m.kind), program.Sym(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")).Into(fs).For("mount", what)
	if m.source != "" {
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigSet, p.Str("source"), p.Str(m.source), program.Int(0)).For("mount", what)
	}
	for _, d := range m.data {
		if d[1] == "" {
			p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigOn, p.Str(d[0]), program.Null, program.Int(0)).
				For("mount", what+" with option "+d[0])
			continue
		}
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigSet, p.Str(d[0]), p.Str(d[1]), program.Int(0)).
			For("mount", what+" with option "+d[0]+"="+d[1])
	}
	p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigNew, program.Null, program.Null, program.Int(0)).For("mount", what)
	attr := m.set | m.setAll
	if m.kind == "tmpfs" && attr&unix.MOUNT_ATTR_RDONLY != 0 {
		// Mounts that follow may lie inside of it.
		attr &^= unix.MOUNT_ATTR_RDONLY
		b.readonly = append(b.readonly, lateReadonly{mount.Value(), m.target})
	}
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Sym(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), flags(attr, attrFlags)).
		Into(mount).For("mount", what)
	b.attach(mount.Value(), b.target(m.target, true), what)
	if m.propagation != 0 {
		b.setattr(mount.Value(), attribute{}, m.propagation, m.propagationAll, m.target)
	}
}

// protect makes path read-only where it exists.
func (b *builder) protect(path string) {
	p := b.p
	fd, tree, missing := p.Var("path"), p.Var("tree"), p.Label()
	b.open(path, unix.O_PATH, fd).Tolerate(unix.ENOENT).Else(missing)
	const flag = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	p.Call(unix.SYS_OPEN_TREE, fd.Value(), b.empty,
		program.Sym(flag, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE")).Into(tree).For("clone", path)
	b.setattr(tree.Value(), attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, true, path)
	b.attach(tree.Value(), fd.Value(), path+" read-only")
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
		p.Call(unix.SYS_OPEN_TREE, cwd, p.Str(os.DevNull),
			program.Sym(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC")).
			Into(tree).For("clone", "the host's "+os.DevNull)
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
	p := b.p
	fs := p.Var("fs")
	b.mask = p.Var("mask")
	p.Call(unix.SYS_FSOPEN, p.Str("tmpfs"), program.Sym(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")).Into(fs).For("make", "the mask")
	p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigNew, program.Null, program.Null, program.Int(0)).For("make", "the mask")
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Sym(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"),
		flags(unix.MOUNT_ATTR_RDONLY, attrFlags)).Into(b.mask).For("make", "the mask")
	p.Call(unix.SYS_MOVE_MOUNT, b.mask.Value(), b.empty, cwd, p.Str("/proc"), onPath).For("mount", "the mask")
}
