package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// writePidFile writes the pid file that the caller asked for. Errors name that, not
// the file that becomes it.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	full, err := filepath.Abs(path)
	if err == nil {
		err = replace(full, []byte(strconv.Itoa(pid)))
	}
	if err == nil {
		return nil
	}
	cause := err
	var at *fs.PathError
	var link *os.LinkError
	if errors.As(err, &at) {
		cause = at.Err
	} else if errors.As(err, &link) {
		cause = link.Err
	}
	info, missing := os.Stat(full)
	switch {
	case missing == nil && info.IsDir():
		return fmt.Errorf("pid file %s: %w: give a file's name", path, unix.EISDIR)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("pid file %s: %w: there is no directory %s", path, cause, filepath.Dir(full))
	}
	return fmt.Errorf("pid file %s: %w", path, cause)
}

// removePidFile removes the pid file of a process that came to nothing, unless
// it is another's.
func removePidFile(path string, pid int) {
	if data, err := os.ReadFile(path); err == nil && string(data) == strconv.Itoa(pid) {
		os.Remove(path)
	}
}
