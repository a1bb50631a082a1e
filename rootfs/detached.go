package rootfs

import (
	"fmt"
	"os"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// The root of a container without a mount namespace of its own is a tree that
// belongs to no mount namespace at all (Linux 6.15), entered by chroot(2): nobody in
// the namespace that the process is in sees it, or has a mount changed. With the
// last of the set-up's descriptors the tree is dissolved; what has it as its root
// sees all of it until it ends, and can mount nothing there.
//
// A tree that was made by fsmount(2) can be mounted in from anywhere; one that was
// cloned only from the namespace where that was done, which is not that of who joins
// another; and a clone is to its original. So the root is put on a tmpfs, the ground,
// and cloned from there. It has no parent then: nobody climbs out of it by a directory
// that he holds open while he changes his root.

// checkDetached refuses what would hear of the host's mounts later, or tell it of its
// own. Without others all is private.
func (o *options) checkDetached() error {
	if o.propagation == unix.MS_SHARED || o.propagation == unix.MS_SLAVE {
		return fmt.Errorf(`propagation %s: mounts that are made later reach no container without a mount namespace of its own: `+
			`take private, or add {"type": "mount"} to linux.namespaces`, flagSet{o.propagation, propagationFlags})
	}
	o.propagation, o.propagationAll = 0, false
	return nil
}

// unshared is how a tree of the host becomes what its mounts do not change, or, in a
// mount namespace, at least does not change them.
func (c *Config) unshared() uint64 {
	if c.Detached {
		return unix.MS_PRIVATE
	}
	return unix.MS_SLAVE
}

// enterGround makes the root one that can be mounted in, and puts the host's /dev/null
// where it can be cloned from.
func (b *builder) enterGround(null *os.File) {
	p := b.p
	b.setattr(b.root, attribute{}, unix.MS_PRIVATE, true, "the root")
	ground := b.newTmpfs("ground", "the ground of the root", 0)
	if len(b.c.Spec.Linux.MaskedPaths) > 0 {
		b.makeMask()
		b.null = p.File(null, os.DevNull)
		file := p.Var("null")
		p.Call(unix.SYS_OPENAT, ground.Value(), p.Str("null"), flags(unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, openFlags), program.Octal(0o600)).
			Into(file).For("make", "a place for "+os.DevNull)
		b.attach(b.null, file.Value(), os.DevNull+" beside the root")
	}
	b.attach(b.root, ground.Value(), "the root")
	b.root = b.cloneAll(b.root, "the root")
}

// newTmpfs makes a tmpfs that is mounted nowhere.
func (b *builder) newTmpfs(name, what string, attr uint64) *program.Var {
	p, fs, mount := b.p, b.p.Var("fs"), b.p.Var(name)
	p.Call(unix.SYS_FSOPEN, p.Str("tmpfs"), program.Sym(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")).Into(fs).For("make", what)
	p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigNew, program.Null, program.Null, program.Int(0)).For("make", what)
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Sym(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), flags(attr, attrFlags)).Into(mount).For("make", what)
	return mount
}

// cloneAll clones a mount with all below it.
func (b *builder) cloneAll(mount program.Value, what string) program.Value {
	const flag = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	tree := b.p.Var("tree")
	b.p.Call(unix.SYS_OPEN_TREE, mount, b.empty, flags(flag, treeFlags)).Into(tree).For("clone", what)
	return tree.Value()
}

// over changes a copy of a mount, with all below it, and puts that over it: what is
// mounted in a tree of no mount namespace keeps its attributes.
func (b *builder) over(mount program.Value, what string, change func(mount program.Value)) {
	tree := b.cloneAll(mount, what)
	change(tree)
	b.attach(tree, mount, what)
}

// leaveDetached makes the root the process's.
func (b *builder) leaveDetached() {
	p := b.p
	for _, r := range b.readonly {
		fd := p.Var("mount") // by its path: it may be another by now
		b.open(r.target, unix.O_PATH, fd)
		b.over(fd.Value(), r.target, func(mount program.Value) {
			b.setattr(mount, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, r.target)
		})
	}
	if b.c.Spec.Root.Readonly {
		b.setattr(b.root, attribute{set: unix.MOUNT_ATTR_RDONLY}, 0, false, "the root")
	}
	p.Call(unix.SYS_FCHDIR, b.root).For("enter", "the root")
	p.Call(unix.SYS_CHROOT, p.Str(".")).For("change root", "")
	p.Call(unix.SYS_CHDIR, p.Str("/")).For("change directory to", "/")
}
