package namespaces

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// IDMaps say which ids of a user namespace stand for which of the caller's,
// user_namespaces(7).
type IDMaps struct {
	Users, Groups []syscall.SysProcIDMap
}

// NewUser makes a user namespace with the maps given, which lives for as long as
// the file is open or something belongs to it. It is the one namespace that an
// ordinary user may make: who has made it has all capabilities in it.
//
// The maps are written directly where the kernel allows that: to root, and to
// everybody who maps nothing but himself. For others newuidmap(1) and
// newgidmap(1) do it, within what /etc/subuid and /etc/subgid grant.
//
// A process of more than one thread cannot make it. A program of its own does,
// waits for its maps, and ends.
func NewUser(ctx context.Context, maps IDMaps) (*os.File, error) {
	f, err := newUser(ctx, maps)
	return f, fail("make", "user namespace", err)
}

func newUser(ctx context.Context, maps IDMaps) (_ *os.File, err error) {
	if len(maps.Users) == 0 || len(maps.Groups) == 0 {
		return nil, fmt.Errorf("%w: it needs a map of users and one of groups", ErrOption)
	}
	p := program.New()
	p.CloseOthers()
	p.Call(unix.SYS_UNSHARE, program.Sym(unix.CLONE_NEWUSER, "CLONE_NEWUSER")).For("make", "the namespace")
	p.Sync("maps")
	p.Exit(0)
	// It stays dumpable, since newuidmap wants to see whose it is, and has
	// nothing to hide.
	proc, err := p.Start(&program.Attr{Dir: os.TempDir()})
	if err != nil {
		return nil, err
	}
	defer proc.Abort()
	if _, err := proc.Next(ctx); err != nil {
		return nil, explainUser(err)
	}
	f, err := Open(User, fmt.Sprintf("/proc/%d/ns/user", proc.Pid))
	if err != nil {
		return nil, err
	}
	if err := maps.write(ctx, proc.Pid); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// explainUser says what usually keeps users from having namespaces.
func explainUser(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: /proc/sys/user/max_user_namespaces allows no more", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: the host keeps users from it (sysctl kernel.unprivileged_userns_clone=1, "+
			"or kernel.apparmor_restrict_unprivileged_userns=0, allows it), or this is a chroot", err)
	}
	return err
}

// write writes the maps of the user namespace that pid has just made.
func (m *IDMaps) write(ctx context.Context, pid int) error {
	for _, kind := range [...]struct {
		file, helper string
		list         []syscall.SysProcIDMap
		own          int
	}{
		{"uid_map", "newuidmap", m.Users, os.Geteuid()},
		{"gid_map", "newgidmap", m.Groups, os.Getegid()},
	} {
		var err error
		switch {
		case os.Geteuid() == 0:
			err = writeMap(pid, kind.file, kind.list)
		case onlyOwn(kind.list, kind.own):
			if kind.file == "gid_map" {
				// Else a group that denies something could be left (CVE-2014-8989).
				err = write(fmt.Sprintf("/proc/%d/setgroups", pid), "deny")
			}
			if err == nil {
				err = writeMap(pid, kind.file, kind.list)
			}
		default:
			err = helpMap(ctx, kind.helper, pid, kind.list)
		}
		if err != nil {
			return fmt.Errorf("write its %s: %w", kind.file, err)
		}
	}
	return nil
}

// onlyOwn tells a map of one's own id alone.
func onlyOwn(list []syscall.SysProcIDMap, id int) bool {
	return len(list) == 1 && list[0].Size == 1 && list[0].HostID == id
}

// OnlyOwn tells whether the maps have nothing but the caller's own ids, where he
// is not root. The kernel allows no change of the additional groups then.
func (m *IDMaps) OnlyOwn() bool {
	return os.Geteuid() != 0 && onlyOwn(m.Groups, os.Getegid())
}

func writeMap(pid int, file string, list []syscall.SysProcIDMap) error {
	var text []byte
	for _, l := range list {
		text = fmt.Appendf(text, "%d %d %d\n", l.ContainerID, l.HostID, l.Size)
	}
	return write(fmt.Sprintf("/proc/%d/%s", pid, file), string(text))
}

// helpMap has a set-user-id program write a map.
func helpMap(ctx context.Context, helper string, pid int, list []syscall.SysProcIDMap) error {
	path, err := exec.LookPath(helper)
	if err != nil {
		return fmt.Errorf("%w: only %s may map more than one's own id: install it (package uidmap, or shadow-utils), or map that id alone", err, helper)
	}
	args := []string{strconv.Itoa(pid)}
	for _, l := range list {
		args = append(args, strconv.Itoa(l.ContainerID), strconv.Itoa(l.HostID), strconv.Itoa(l.Size))
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", helper, err, bytes.TrimSpace(out))
	}
	return nil
}
