package namespaces

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Open opens the namespace of the given kind at path, which is a file of
// /proc/PID/ns or a bind mount of one. Errors satisfy errors.Is with
// [ErrNotNamespace], [ErrKind] or the errno.
//
// The file is looked at through an O_PATH descriptor first: opening an unknown
// file for reading may block (a FIFO) or do something (a device).
func Open(kind Kind, path string) (*os.File, error) {
	if !kind.Valid() {
		return nil, fail("open", path, fmt.Errorf("%w: unknown kind %q", ErrKind, kind))
	}
	peek, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail("open", path, err)
	}
	defer unix.Close(peek)
	if err := checkNsfs(peek); err != nil {
		return nil, fail("open", path, err)
	}
	fd, err := unix.Open("/proc/thread-self/fd/"+strconv.Itoa(peek), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail("open", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	got, err := KindOf(f)
	if err == nil && got != kind {
		err = fmt.Errorf("%w: it is a %s namespace, wanted a %s namespace", ErrKind, got, kind)
	}
	if err != nil {
		f.Close()
		return nil, fail("open", path, cause(err))
	}
	return f, nil
}

// KindOf returns the kind of namespace that f refers to.
func KindOf(f *os.File) (Kind, error) {
	var flag int
	err := control(f, func(fd int) (err error) {
		// Other file systems answer the number of this ioctl as they like.
		if err = checkNsfs(fd); err == nil {
			flag, err = unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		}
		return err
	})
	if err != nil {
		return "", fail("identify", fileTarget(f), err)
	}
	kind, err := kindOfFlag(flag)
	return kind, fail("identify", fileTarget(f), err)
}

// Same reports whether a and b refer to the same namespace, by device and inode
// number, which is how the kernel tells them apart, namespaces(7).
func Same(a, b *os.File) (bool, error) {
	var sa, sb unix.Stat_t
	if err := stat(a, &sa); err != nil {
		return false, err
	}
	if err := stat(b, &sb); err != nil {
		return false, err
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, nil
}

func stat(f *os.File, st *unix.Stat_t) error {
	err := control(f, func(fd int) error { return unix.Fstat(fd, st) })
	return fail("stat", fileTarget(f), err)
}

func checkNsfs(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	if st.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("%w: want a file of /proc/PID/ns or a bind mount of one", ErrNotNamespace)
	}
	return nil
}

// control calls f with the descriptor of file, which stays open meanwhile even
// if another goroutine closes file.
func control(file *os.File, f func(fd int) error) error {
	if file == nil {
		return os.ErrInvalid
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return os.ErrClosed // the only reason, but package os does not say it by this name
	}
	return inner
}

// cause strips the outermost *Error, for callers that name the object better.
func cause(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Err
	}
	return err
}
