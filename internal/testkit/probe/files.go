package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func put(path string, words []string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strings.Join(words, " "))
	return err
}

// fill appends args[1] characters.
func fill(args []string) (string, error) {
	return done(put(args[0], []string{strings.Repeat("x", number(args[1]))}, os.O_WRONLY|os.O_CREATE|os.O_APPEND))
}

// direct writes args[1] MiB past the kernel's cache, and tells how many
// milliseconds that took.
func direct(args []string) (string, error) {
	const size = 64 << 10
	fd, err := unix.Open(args[0], unix.O_WRONLY|unix.O_CREAT|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
	if err != nil {
		return "", err
	}
	begin := time.Now()
	for range number(args[1]) << 20 / size {
		if n, err := unix.Write(fd, block); err != nil || n != size {
			return "", fmt.Errorf("wrote %d of %d bytes: %w", n, size, err)
		}
	}
	return strconv.FormatInt(time.Since(begin).Milliseconds(), 10), nil
}

func cat(args []string) (string, error) {
	b, err := os.ReadFile(args[0])
	return strings.TrimSpace(string(b)), err
}

func readfd(args []string) (string, error) {
	b, err := io.ReadAll(os.NewFile(uintptr(number(args[0])), "fd"))
	return string(b), err
}

func copyInput([]string) (string, error) {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return "", err
}

func list(args []string) (string, error) {
	entries, err := os.ReadDir(args[0])
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " "), err
}

// stat tells type, mode, owner and device.
func stat(args []string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(args[0], &st); err != nil {
		return "", err
	}
	kind := map[uint32]string{unix.S_IFDIR: "dir", unix.S_IFREG: "file", unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket"}[st.Mode&unix.S_IFMT]
	return fmt.Sprintf("%s %#o %d:%d %d:%d", kind, st.Mode&0o7777, st.Uid, st.Gid, unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

// count adds to a file and tells how often that was done.
func count(args []string) (string, error) {
	if err := put(args[0], []string{"x"}, os.O_WRONLY|os.O_CREATE|os.O_APPEND); err != nil {
		return "", err
	}
	b, err := os.ReadFile(args[0])
	return "start " + strconv.Itoa(len(b)), err
}

// flaky fails until it was called args[1] times with the same file.
func flaky(args []string) (string, error) {
	out, err := count(args)
	fmt.Println(out)
	if out != "start "+args[1] {
		os.Exit(4)
	}
	return "fine", err
}

// flood writes args[0] lines of args[1] characters.
func flood(args []string) (string, error) {
	line := strings.Repeat("-", max(number(args[1])-8, 0))
	for i := range number(args[0]) {
		fmt.Printf("%07d %s\n", i, line)
	}
	return silent(nil)
}

// until waits for a file.
func until(args []string) (string, error) {
	for range 4000 {
		if _, err := os.Stat(args[0]); err == nil {
			return silent(nil)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return "", unix.ETIMEDOUT
}

// need ends with status 1 unless a file is there.
func need(args []string) (string, error) {
	if _, err := os.Stat(args[0]); err != nil {
		fmt.Println(args[0], "is missing")
		os.Exit(1)
	}
	return silent(nil)
}

// climb tries to leave the root: it takes another one, args[0], while it holds the
// old one open, goes up from there, and lists where it got.
func climb(args []string) (string, error) {
	old, err := os.Open("/")
	if err != nil {
		return "", err
	}
	defer old.Close()
	if err := os.Mkdir(args[0], 0o755); err != nil {
		return "", err
	}
	if err := unix.Chroot(args[0]); err != nil {
		return "", err
	}
	if err := old.Chdir(); err != nil {
		return "", err
	}
	for range 50 {
		if err := unix.Chdir(".."); err != nil {
			return "", err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return "", err
	}
	return list([]string{"/"})
}
