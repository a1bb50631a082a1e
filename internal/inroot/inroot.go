// Package inroot opens files below a directory that is not trusted: no link in
// it leads outside, nor to what the kernel's magic links point at.
package inroot

import (
	"os"

	"golang.org/x/sys/unix"
)

// Retries is how often a lookup is tried again. It fails with EAGAIN when it
// goes up ("..") while something is renamed or mounted, anywhere on the machine
// (openat2(2)). A try takes a microsecond.
const Retries = 1000

// Open opens a file as if root were "/". The descriptor is close-on-exec.
func Open(root *os.File, file string, flags uint64) (fd int, err error) {
	return open(root, file, flags, unix.RESOLVE_IN_ROOT)
}

// OpenBeneath opens a file whose path, with all links in it, stays below root:
// one that leads outside is unix.EXDEV.
func OpenBeneath(root *os.File, file string, flags uint64) (fd int, err error) {
	return open(root, file, flags, unix.RESOLVE_BENEATH)
}

func open(root *os.File, file string, flags, resolve uint64) (fd int, err error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS}
	for range 1 + Retries {
		fd, err = unix.Openat2(int(root.Fd()), file, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}
