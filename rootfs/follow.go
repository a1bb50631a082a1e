package rootfs

import (
	"os"
	"path"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// followTarget notes where a target leads when it goes through a link of the
// image that dangles: nothing can be made through that.
func (s *Sources) followTarget(i int, target string) error {
	fd, err := inroot.Open(s.root, target, unix.O_PATH)
	if err == nil {
		return unix.Close(fd)
	}
	if err != unix.ENOENT {
		return nil // the process meets it too, and says it better
	}
	to, err := follow(s.root, target)
	if err == nil && to != target {
		s.targets[i] = to
	}
	return err
}

// follow resolves the links of file below root as far as there are any; what is
// missing stays as it is. Should they change meanwhile the mount still lands
// inside of the root.
func follow(root *os.File, file string) (string, error) {
	done, rest := "/", strings.Split(strings.Trim(file, "/"), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		to, err := readLink(root, done, name)
		switch {
		case err == unix.ENOENT || err == unix.ENOTDIR || err == unix.EINVAL: // EINVAL: is no link
			done = path.Join(done, name)
			continue
		case err != nil:
			return "", &os.PathError{Op: "readlink", Path: path.Join(done, name), Err: err}
		}
		if links++; links > 40 { // as in the kernel
			return "", &os.PathError{Op: "follow", Path: file, Err: unix.ELOOP}
		}
		if path.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done, nil
}

func readLink(root *os.File, dir, name string) (string, error) {
	fd, err := inroot.Open(root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}
