package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// copyUp makes a tmpfs with what the image has at the target, detached: owners,
// modes and times too. The size that the mount asks for bounds it.
func (c *Config) copyUp(root *os.File, m *mountOf) (source, error) {
	tree, err := c.newTmpfs(m)
	if err != nil {
		return source{}, err
	}
	from, err := inroot.Open(root, m.target, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return source{tree, true}, nil
	}
	if err == nil {
		dir := os.NewFile(uintptr(from), m.target)
		defer dir.Close()
		err = c.fill(tree, dir, m)
	}
	if err != nil {
		tree.Close()
		return source{}, fmt.Errorf("option tmpcopyup: %w", err)
	}
	return source{tree, true}, nil
}

// newTmpfs makes a tmpfs that is not yet read-only.
func (c *Config) newTmpfs(m *mountOf) (*os.File, error) {
	fsfd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, explain("make a tmpfs (fsopen)", err)
	}
	fs := os.NewFile(uintptr(fsfd), "tmpfs")
	defer fs.Close()
	for _, d := range append([][2]string{{"source", m.source}}, c.fsOptions(m)...) {
		switch value := c.onHost(d); {
		case d[1] != "":
			err = unix.FsconfigSetString(fsfd, d[0], value)
		case d[0] != "source":
			err = unix.FsconfigSetFlag(fsfd, d[0])
		}
		if err != nil {
			return nil, explain(fmt.Sprintf("tmpfs option %s%s", d[0], messages(fs)), err)
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, explain("make a tmpfs"+messages(fs), err)
	}
	attr := (m.set | m.setAll) &^ unix.MOUNT_ATTR_RDONLY
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, int(attr))
	if err != nil {
		return nil, explain("mount a tmpfs", err)
	}
	return os.NewFile(uintptr(fd), "tmpfs"), nil
}

// onHost is the value of an option where ids are the container's.
func (c *Config) onHost(option [2]string) string {
	if c.IDMap == nil || option[0] != "uid" && option[0] != "gid" {
		return option[1]
	}
	list := c.IDMap.Users
	if option[0] == "gid" {
		list = c.IDMap.Groups
	}
	n, err := strconv.ParseUint(option[1], 10, 32)
	if host, ok := hostID(list, uint32(n)); err == nil && ok {
		return strconv.Itoa(int(host))
	}
	return option[1]
}

// fill copies a directory into the tmpfs, whose root becomes like it.
func (c *Config) fill(tree, from *os.File, m *mountOf) error {
	// What fsmount returned cannot be read.
	fd, err := unix.Openat(int(tree.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "tmpfs", Err: err}
	}
	to := os.NewFile(uintptr(fd), "tmpfs")
	defer to.Close()
	if err := copyEntries(from, to); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	uid, gid := int(st.Uid), int(st.Gid)
	if m.has("uid") {
		uid = -1
	}
	if m.has("gid") {
		gid = -1
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return err
	}
	if m.has("mode") {
		return nil
	}
	return unix.Fchmod(fd, st.Mode&0o7777)
}

// copyEntries copies what is in a directory. No link is followed: whatever else
// writes to the image meanwhile, nothing outside of it is read.
func copyEntries(from, to *os.File) error {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyEntry(from, to, name); err != nil {
			return fmt.Errorf("copy %s: %w", path.Join(from.Name(), name), err)
		}
	}
	return nil
}

func copyEntry(from, to *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = copyDir(from, to, name)
	case unix.S_IFREG:
		err = copyFile(from, to, name)
	case unix.S_IFLNK:
		buffer, n := make([]byte, unix.PathMax), 0
		if n, err = unix.Readlinkat(int(from.Fd()), name, buffer); err == nil {
			err = unix.Symlinkat(string(buffer[:n]), int(to.Fd()), name)
		}
	case unix.S_IFSOCK:
		return nil // nobody listens at a copy
	default:
		err = unix.Mknodat(int(to.Fd()), name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	if err := unix.Fchownat(int(to.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK { // after the owner, whose change takes set-user-id away
		if err := unix.Fchmodat(int(to.Fd()), name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(int(to.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW)
}

func copyDir(from, to *os.File, name string) error {
	if err := unix.Mkdirat(int(to.Fd()), name, 0o700); err != nil {
		return err
	}
	source, err := openAt(from, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openAt(to, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer target.Close()
	return copyEntries(source, target)
}

func copyFile(from, to *os.File, name string) error {
	source, err := openAt(from, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openAt(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
}
