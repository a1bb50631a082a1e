package cgroups

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The files of a cgroup file system are opened without os: they are read and
// written in one call each, never polled (except cgroup.events), and a
// container's start pays for every allocation and system call here.

// writeFile writes value in one call, which is what the kernel parses. The
// file is never made: a name that the kernel lacks is ENOENT.
func writeFile(name, value string) error {
	fd, err := open(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

func writeAll(fd int, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value))
		if err != unix.EINTR {
			return err
		}
	}
}

// readFile reads the whole file, without the line end of a single value.
func readFile(name string) (string, error) {
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readAll(fd)
}

func readAll(fd int) (string, error) {
	var text []byte
	var buf [4096]byte
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case n == 0:
			return strings.TrimSuffix(string(text), "\n"), nil
		default:
			text = append(text, buf[:n]...)
		}
	}
}

func open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func exists(name string) bool { return unix.Access(name, unix.F_OK) == nil }

// numbers parses a list of pids, one a line. Processes that are not visible
// in this pid namespace are shown as 0 and left out.
func numbers(text string) []int {
	var list []int
	for field := range strings.FieldsSeq(text) {
		if n, err := strconv.Atoi(field); err == nil && n > 0 {
			list = append(list, n)
		}
	}
	return list
}
