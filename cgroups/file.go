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

// readFile reads a file of one value, without its line end. One call gives all
// of it: the kernel makes such a file in one piece.
func readFile(name string) (string, error) {
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var buf [4096]byte
	n, err := readSome(fd, buf[:])
	return strings.TrimSuffix(string(buf[:n]), "\n"), err
}

// readList reads a file of any length, which may come in several pieces.
func readList(name string) (string, error) {
	fd, err := open(name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text []byte
	var buf [4096]byte
	for {
		n, err := readSome(fd, buf[:])
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(text), nil
		}
		text = append(text, buf[:n]...)
	}
}

func readSome(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return max(n, 0), err
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
