package rootfs

import (
	"fmt"
	"strings"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// made is what a mount is of, before it is attached.
type made struct {
	tree program.Value
	dir  bool // its root is a directory
}

// make appends the steps that make what is mounted, in the order of the mounts and
// before any is attached: /proc/self/mountinfo has them in the order of their making,
// since Linux 6.8. What is bound from inside of the root is made later.
func (b *builder) make(mounts []mountOf, s *Sources) ([]made, error) {
	list := make([]made, len(mounts))
	for i := range mounts {
		m := &mounts[i]
		switch {
		case m.remount || m.inside != "":
		case b.c.opensBefore(m):
			source := s.binds[i]
			list[i] = made{b.p.File(source.tree, m.source), source.dir || b.listed}
		case m.bind:
			tree, dir, err := b.openBind(m)
			if err != nil {
				return nil, fmt.Errorf("mounts: %s: %w", m.target, err)
			}
			list[i] = made{tree, dir}
		default:
			list[i] = made{b.newMount(m), true}
		}
	}
	return list, nil
}

// opensBefore tells whether Open makes what is mounted. Otherwise the program does, in
// the order of the mounts: where it is root's, without a user namespace, it finds the
// sources that root finds, but for his descriptors.
func (c *Config) opensBefore(m *mountOf) bool {
	switch {
	case c.Inside || !m.bind || m.inside != "":
		return m.copyUp && !c.Inside
	case c.UserNamespace || c.Detached || m.idmap:
		return true
	}
	path := c.hostPath(m.source)
	return strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/dev/fd/")
}

// newMount makes the file system of a mount.
func (b *builder) newMount(m *mountOf) program.Value {
	p, what := b.p, m.kind+" on "+m.target
	fs, mount := p.Var("fs"), p.Var("mount")
	p.Call(unix.SYS_FSOPEN, p.Str(m.kind), program.Sym(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")).Into(fs).For("mount", what)
	if m.source != "" {
		p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigSet, p.Str("source"), p.Str(m.source), program.Int(0)).For("mount", what)
	}
	b.configure(fs.Value(), m, what)
	p.Call(unix.SYS_FSCONFIG, fs.Value(), fsconfigNew, program.Null, program.Null, program.Int(0)).For("mount", what)
	attr := m.set | m.setAll
	if m.kind == "tmpfs" && attr&unix.MOUNT_ATTR_RDONLY != 0 {
		// Mounts that follow may lie inside of it.
		attr &^= unix.MOUNT_ATTR_RDONLY
		b.readonly = append(b.readonly, lateReadonly{mount.Value(), m.target})
	}
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Sym(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), flags(attr, attrFlags)).
		Into(mount).For("mount", what)
	return mount.Value()
}
