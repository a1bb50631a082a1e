package runtime

import (
	"fmt"
	"os"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// stream says what a standard descriptor is and what is to be done with it.
type stream int

const (
	kept     stream = iota // as it is
	owned                  // a pipe or socket that was made for the process: its user gets it
	hostNull               // the host's /dev/null: the container's takes its place
)

// streamsOf looks at what a process is to be given; nil is the host's
// /dev/null.
func streamsOf(files ...*os.File) (list [3]stream) {
	for i, f := range files {
		list[i] = streamOf(f)
	}
	return list
}

func streamOf(f *os.File) stream {
	if f == nil {
		return hostNull
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return kept
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return owned
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return hostNull
		}
	}
	return kept
}

// adopt makes the standard descriptors the process's own: pipes belong to its
// user, and the null device is the container's, as far as that has one.
func (id *identity) adopt(p *program.Program, streams [3]stream) {
	for fd, s := range streams {
		if s == owned && id.User.UID != 0 {
			p.Call(unix.SYS_FCHOWN, program.Int(fd), program.Int(id.User.UID), program.Int(-1)).TolerateAll()
		}
	}
	done := p.Label()
	var own *program.Var
	for fd, s := range streams {
		if s == hostNull {
			if own == nil {
				own = p.Var("null")
				p.Call(unix.SYS_OPENAT, program.Sym(^uint64(99), "AT_FDCWD"), p.Str(os.DevNull),
					program.Sym(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, "O_RDWR|O_NOCTTY|O_CLOEXEC"), program.Int(0)).
					Into(own).TolerateAll().Else(done).For("open", "the container's "+os.DevNull)
			}
			p.Call(unix.SYS_DUP3, own.Value(), program.Int(fd), program.Int(0)).For("use", "the container's "+os.DevNull)
		}
	}
	p.Here(done)
}

// protectNull replaces the host's /dev/null among the files by one that is
// opened through a read-only mount of its own: it reads and writes like the
// other, but through its descriptor not even a container's root can change the
// mode or the owner that it has on the host.
func protectNull(files ...**os.File) (done func(), err error) {
	var safe *os.File
	done = func() { safe.Close() }
	if rootless() {
		return done, nil // it is root's, and stays so
	}
	for _, f := range files {
		if streamOf(*f) != hostNull {
			continue
		}
		if safe == nil {
			if safe, err = openSafeNull(); err != nil {
				return done, err
			}
		}
		*f = safe
	}
	return done, nil
}

func openSafeNull() (*os.File, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, os.DevNull, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return nil, fmt.Errorf("open %s read-only: %w", os.DevNull, err)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", tree), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}
