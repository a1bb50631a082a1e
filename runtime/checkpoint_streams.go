package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptorsFile is where the images tell what the standard descriptors were:
// a list of names, as links of /proc/PID/fd have them. It is runc's, too.
const descriptorsFile = "descriptors.json"

// hostStreams are the names of the first process's standard descriptors in the
// images. Those that are the host's are criu's names of them: who restores gives
// descriptors for these.
func (c *Container) hostStreams() (names []string, err error) {
	own, err := readMounts(strconv.Itoa(c.process.PID))
	if err != nil {
		return nil, err
	}
	for fd := range 3 {
		name, err := c.hostStream(fd, own)
		if err != nil {
			return nil, fmt.Errorf("its descriptor %d: %w", fd, err)
		}
		names = append(names, name)
	}
	return names, nil
}

func (c *Container) hostStream(fd int, own []mountLine) (string, error) {
	path := fmt.Sprintf("/proc/%d/fd/%d", c.process.PID, fd)
	link, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // closed
	}
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(link, "pipe:[") {
		if c.holdsOther(link, fd) {
			return "inner " + link, nil
		}
		return link, nil
	}
	if !strings.HasPrefix(link, "/") {
		return link, nil
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.process.PID, fd))
	if err != nil {
		return "", err
	}
	mount := field(string(info), "mnt_id:")
	if slices.ContainsFunc(own, func(m mountLine) bool { return m.id == mount }) {
		return link, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Major(st.Rdev) != memMajor {
		return fmt.Sprintf("tty[%x:%x]", st.Rdev, st.Dev), nil
	}
	id, err := strconv.Atoi(mount)
	if err != nil {
		return "", fmt.Errorf("fdinfo: mnt_id %q: %w", mount, err)
	}
	return fmt.Sprintf("file[%x:%x]", id, st.Ino), nil
}

// memMajor is that of /dev/null and the like.
const memMajor = 1

// inherited tells whether a name is that of something of the host's.
func inherited(name string) bool {
	return strings.HasPrefix(name, "pipe:[") || external(name)
}

// external tells whether criu has to be told to leave what has this name alone;
// a pipe it saves with nobody at its other end.
func external(name string) bool {
	return strings.HasPrefix(name, "file[") || strings.HasPrefix(name, "tty[")
}

// holdsOther tells whether a process of the container has the other end of a pipe
// that the first process has as fd: the pipe is its own then.
func (c *Container) holdsOther(link string, fd int) bool {
	const accessMode = 3
	mode := func(process int, fd string) int64 {
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", process, fd))
		if err != nil {
			return -1
		}
		flags, err := strconv.ParseInt(field(string(info), "flags:"), 8, 64)
		if err != nil {
			return -1
		}
		return flags & accessMode
	}
	ours := mode(c.process.PID, strconv.Itoa(fd))
	pids, err := c.Pids()
	if err != nil {
		return false
	}
	for _, pid := range pids {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, e := range entries {
			name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
			if err != nil || name != link {
				continue
			}
			if theirs := mode(pid, e.Name()); theirs >= 0 && theirs != ours {
				return true
			}
		}
	}
	return false
}

// field is what follows a name in a file of procfs that has one on each line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func writeStreams(dir string, names []string) error {
	data, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, descriptorsFile), data)
}

// readStreams reads what writeStreams, or runc, wrote: nothing where there is
// none.
func readStreams(dir string) (names []string, err error) {
	path := filepath.Join(dir, descriptorsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}
