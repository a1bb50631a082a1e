package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// mounts tells what of the host's is mounted.
func (v *revival) mounts() (err error) {
	if v.binds, err = v.p.rootfs.Binds(); err != nil {
		return err
	}
	// Where a container reports to the service manager by: nobody listens there.
	if !slices.ContainsFunc(v.binds, func(b rootfs.Bind) bool { return b.Target == notifyTarget }) {
		v.binds = append(v.binds, rootfs.Bind{
			Target: notifyTarget, Source: filepath.Join(v.c.dir, notifyDir),
			Attributes: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		})
	}
	if err := os.Mkdir(filepath.Join(v.c.dir, notifyDir), 0o755); err != nil {
		return err
	}
	add := func(name, source string) {
		v.request.ExtMnt = append(v.request.ExtMnt, &rpc.ExtMountMap{Key: &name, Val: &source})
	}
	for _, b := range v.binds {
		if b.IDMap {
			return fmt.Errorf("mounts: %s: its ids are to be mapped, which criu does not do", b.Target)
		}
		add(b.Target, b.Source)
	}
	add(os.DevNull, os.DevNull) // of masked files
	return nil
}

// restrict makes the root and mounts of the host's read-only, and so on, that have
// to be, while the container's processes are there and wait. criu forgets the
// root's attributes, and those of what it has mounted of a file system from which
// it has mounted something with the same ones before.
func (v *revival) restrict(ctx context.Context, pid int) error {
	list, err := readMounts(strconv.Itoa(pid))
	if err != nil {
		return fmt.Errorf("its mounts: %w", err)
	}
	var wrong []mountLine
	for _, m := range list {
		if m.attributes = v.attributes(&m) &^ m.attributes; m.attributes != 0 {
			wrong = append(wrong, m)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	ns, err := namespaces.Open(namespaces.Mount, fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	p := program.New()
	prologue(p)
	p.Call(unix.SYS_SETNS, p.File(ns, "mount namespace"), cloneFlags(unix.CLONE_NEWNS)).For("join", "the mount namespace")
	for _, m := range wrong {
		setAttributes(p, m.target, m.attributes)
	}
	return perform(ctx, p, v.c.dir)
}

// attributes are those that a mount has to have.
func (v *revival) attributes(m *mountLine) (attributes uint64) {
	if masks(m) && slices.Contains(v.p.spec.Linux.MaskedPaths, m.target) {
		attributes = unix.MOUNT_ATTR_RDONLY
	}
	if m.target == "/" && v.p.spec.Root.Readonly {
		attributes = unix.MOUNT_ATTR_RDONLY
	}
	for _, b := range v.binds {
		if b.Target == m.target {
			attributes |= b.Attributes
		}
	}
	return attributes
}

// masks tells whether a mount hides a file.
func masks(m *mountLine) bool { return m.root == "/null" && m.kind == "devtmpfs" }

// setAttributes appends the setting of attributes of a mount of whose path no
// component is a link.
func setAttributes(p *program.Program, target string, attributes uint64) {
	le := binary.LittleEndian
	fd := p.Var("mount")
	how := le.AppendUint64(nil, unix.O_PATH|unix.O_CLOEXEC) // struct open_how
	how = le.AppendUint64(le.AppendUint64(how, 0), unix.RESOLVE_NO_SYMLINKS)
	p.Call(unix.SYS_OPENAT2, program.Sym(^uint64(99), "AT_FDCWD"), p.Str(target), p.Bytes(how, "{O_PATH, RESOLVE_NO_SYMLINKS}"), program.Int(len(how))).
		Into(fd).For("open", target)
	attr := le.AppendUint64(nil, attributes) // struct mount_attr
	attr = append(attr, make([]byte, 24)...)
	p.Call(unix.SYS_MOUNT_SETATTR, fd.Value(), p.Str(""), program.Sym(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"), p.Bytes(attr, "{attributes}"), program.Int(len(attr))).
		For("set attributes of", target)
}
