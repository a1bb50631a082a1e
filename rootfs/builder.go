package rootfs

import (
	"path"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// builder writes the steps of a root file system.
type builder struct {
	p     *program.Program
	c     *Config
	root  program.Value // the root's tree
	empty program.Value
	// listed: the program is not to be started, so that nothing of the host has
	// to be there.
	listed bool
	// readonly are mounts that become read-only when all is in place.
	readonly []lateReadonly
	// mask is the tmpfs that all masked directories share.
	mask *program.Var
	// null is the host's /dev/null, where the process does not see it.
	null program.Value
}

type lateReadonly struct {
	mount  program.Value
	target string
}

// open adds the step that opens target below the root.
func (b *builder) open(target string, openFlag uint64, into *program.Var) *program.Step {
	how := openHow(openFlag|unix.O_CLOEXEC, 0)
	return b.p.Call(unix.SYS_OPENAT2, b.root, b.p.Str(target), b.p.Bytes(how, openFlagSet(openFlag)), program.Int(openHowSize)).
		Into(into).Retry(inroot.Retries).For("open", target)
}

// target opens what is mounted on, and makes it first where it is missing: a
// directory, or an empty file.
func (b *builder) target(target string, dir bool) program.Value {
	return b.targetOr(target, dir, nil)
}

// targetOr is target that also appends, where found is not nil, what is done
// where the target was there already.
func (b *builder) targetOr(target string, dir bool, found func(fd program.Value)) program.Value {
	p := b.p
	fd, missing, have, made := p.Var("target"), p.Label(), p.Label(), p.Label()
	b.open(target, unix.O_PATH, fd).Tolerate(unix.ENOENT).Else(missing).Then(have)
	p.Here(missing)
	if dir {
		b.makeDirs(target)
	} else {
		b.makeFile(target)
	}
	s := b.open(target, unix.O_PATH, fd)
	if found != nil {
		s.Then(made)
	}
	p.Here(have)
	if found != nil {
		found(fd.Value())
	}
	p.Here(made)
	return fd.Value()
}

// makeDirs makes the directories of target that are missing. Each component's
// parent is opened below the root, so that links stay inside.
func (b *builder) makeDirs(target string) {
	parts := strings.Split(strings.Trim(target, "/"), "/")
	parent := b.root
	for i, name := range parts {
		at := "/" + path.Join(parts[:i+1]...)
		b.p.Call(unix.SYS_MKDIRAT, parent, b.p.Str(name), program.Octal(0o755)).
			Tolerate(unix.EEXIST).For("make directory", at)
		if i < len(parts)-1 {
			fd := b.p.Var("dir")
			b.open(at, unix.O_PATH|unix.O_DIRECTORY, fd)
			parent = fd.Value()
		}
	}
}

// dir opens the directory target, made where it is missing.
func (b *builder) dir(target string) program.Value {
	if target == "/" {
		return b.root
	}
	return b.target(target, true)
}

// makeFile makes an empty file, and the directories above it.
func (b *builder) makeFile(target string) {
	parent, fd := b.dir(path.Dir(target)), b.p.Var("file")
	// Not for writing: the descriptor stays open, and what is open for
	// writing keeps the root from becoming read-only.
	const how = unix.O_RDONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	b.p.Call(unix.SYS_OPENAT, parent, b.p.Str(path.Base(target)), flags(how, openFlags), program.Octal(0o644)).
		Into(fd).Tolerate(unix.EEXIST).For("make file", target)
}

// attach mounts a detached tree on target.
func (b *builder) attach(tree, target program.Value, what string) *program.Step {
	return b.p.Call(unix.SYS_MOVE_MOUNT, tree, b.empty, target, b.empty, byFD).For("mount", what)
}

// setattr changes the attributes of a mount, by its descriptor.
func (b *builder) setattr(mount program.Value, a attribute, propagation uint64, recursive bool, what string) {
	if a == (attribute{}) && propagation == 0 {
		return
	}
	b.setattrBy(mount, a, propagation, program.Value{}, recursive, what)
}

// setattrBy is setattr that may also map ids by a user namespace.
func (b *builder) setattrBy(mount program.Value, a attribute, propagation uint64, users program.Value, recursive bool, what string) {
	at := emptyPath
	if recursive {
		at = program.Sym(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, "AT_EMPTY_PATH|AT_RECURSIVE")
	}
	attr := b.p.Bytes(mountAttr(a, propagation, users.Address()), &attrShow{a, propagation})
	b.p.Call(unix.SYS_MOUNT_SETATTR, mount, b.empty, at, attr, program.Int(mountAttrSize)).
		For("set attributes of", what)
}
