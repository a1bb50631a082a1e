package cgroups

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Usable tells why the caller cannot make a group at path, before New is asked
// for one: no hierarchy is mounted (ErrNotMounted), or one is mounted read-only
// (EROFS) or belongs to somebody else (EACCES). So it is inside of many other
// containers. It makes nothing; nil promises no more than that New is worth a try.
// A scope is systemd's to make, and always worth one.
func Usable(unsafePath string) error {
	h, err := here()
	if err != nil || IsScope(unsafePath) {
		return err
	}
	path, err := cleanPath(unsafePath)
	if err != nil {
		return nil // New says it better
	}
	return h.usable(path)
}

func (h *host) usable(path string) (cause error) {
	part := h.only(func(mount string) bool { // root's usual answer, for one call each
		return unix.Faccessat(unix.AT_FDCWD, mount, unix.W_OK, unix.AT_EACCESS) != nil
	})
	part.writable(path, func(err error) bool {
		barred := errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
		if cause == nil && barred {
			cause = err
		}
		return true
	})
	return cause
}
