package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"github.com/peapod/peapod/internal/nearest"
	"golang.org/x/sys/unix"
)

// DefaultPath is the PATH of a container whose spec and image give none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LookPathError says why a command of an image cannot be executed.
type LookPathError struct {
	// Command as it was asked for.
	Command string
	// Path of the file in the image; "" when none was found.
	Path string
	// Reason is a sentence that names the command and what is wrong with it.
	Reason string
	// Err is what execve would return: ENOENT when the file, its interpreter or
	// its dynamic loader is missing, EACCES or ENOEXEC when it cannot be executed.
	Err error
}

// Error returns the reason.
func (e *LookPathError) Error() string { return e.Reason }

// Unwrap returns Err.
func (e *LookPathError) Unwrap() error { return e.Err }

// ExitCode is what a shell returns for it: 127 when something is missing, 126
// when it cannot be executed.
func (e *LookPathError) ExitCode() int {
	if errors.Is(e.Err, unix.ENOENT) {
		return 127
	}
	return 126
}

// LookPath finds the file that execvp(3) would execute for arg0 in a container
// with the root directory root: arg0 itself when it has a slash, else the first
// executable file of that name in the directories of pathEnv, where relative
// ones start from cwd. The path is one in the container. Symbolic links are
// followed inside of root only. Whether any bit of the mode allows execution is
// looked at, not whose. The error is a *LookPathError; Explain looks deeper.
func LookPath(root *os.File, pathEnv, cwd, arg0 string) (string, error) {
	return (&search{root, pathEnv, cwd, arg0}).first((*search).executable)
}

// Explain says why executing arg0 (see LookPath) fails, beyond its absence: a
// script's interpreter or a program's dynamic loader that is missing, Windows
// line ends, another machine's program. It returns nil when nothing is wrong as
// far as it can see, else a *LookPathError.
func Explain(root *os.File, pathEnv, cwd, arg0 string) error {
	_, err := (&search{root, pathEnv, cwd, arg0}).first((*search).runnable)
	return err
}

// Candidates returns the paths at which LookPath looks for arg0, in order.
func Candidates(pathEnv, cwd, arg0 string) []string {
	if strings.Contains(arg0, "/") {
		return []string{under(cwd, arg0)}
	}
	var list []string
	for dir := range strings.SplitSeq(pathEnv, ":") {
		list = append(list, under(under(cwd, dir), arg0))
	}
	return list
}

// under joins without cleaning: what ".." leads to depends on symbolic links.
func under(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	if name == "" {
		return dir
	}
	return strings.TrimSuffix("/"+strings.TrimPrefix(dir, "/"), "/") + "/" + name
}

// search looks for one command.
type search struct {
	root               *os.File
	pathEnv, cwd, arg0 string
}

// errAbsent is a candidate that is not there: the search goes on.
var errAbsent = &LookPathError{Err: unix.ENOENT}

// first returns the first candidate that passes the check, or the error of the
// first one that is there.
func (s *search) first(check func(s *search, candidate string) *LookPathError) (string, error) {
	var found *LookPathError
	if s.arg0 == "" {
		return "", &LookPathError{Reason: "the command is empty", Err: unix.ENOENT}
	}
	for _, candidate := range Candidates(s.pathEnv, s.cwd, s.arg0) {
		err := check(s, candidate)
		if err == nil {
			return candidate, nil
		}
		if found == nil && err != errAbsent {
			err.Command, found = s.arg0, err
		}
	}
	if found == nil {
		found = s.notFound()
	}
	return "", found
}

// executable checks that the candidate is an executable file.
func (s *search) executable(candidate string) *LookPathError {
	fd, err := inroot.Open(s.root, candidate, unix.O_PATH)
	if err != nil {
		return s.unopened(candidate, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return failure(candidate, err, "%s: %w", candidate, err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return failure(candidate, unix.EACCES, "%s is a directory", candidate)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return failure(candidate, unix.EACCES, "%s is not a file", candidate)
	case st.Mode&0o111 == 0:
		return failure(candidate, unix.EACCES, "%s is not executable (its mode is %#o); chmod +x it in the image", candidate, st.Mode&0o7777)
	}
	return nil
}

// unopened explains why a candidate cannot be opened.
func (s *search) unopened(candidate string, err error) *LookPathError {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		return failure(candidate, err, "%s: %w", candidate, err)
	}
	fd, err := inroot.Open(s.root, candidate, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return errAbsent
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return errAbsent
	}
	return failure(candidate, unix.ENOENT, "%s is a symbolic link to %s, which the image does not have", candidate, buf[:n])
}

// runnable checks that the candidate is executable and of a format that the
// kernel executes, with all that it needs for it.
func (s *search) runnable(candidate string) *LookPathError {
	if err := s.executable(candidate); err != nil {
		return err
	}
	return s.format(candidate, 0)
}

// notFound says where a command was looked for.
func (s *search) notFound() *LookPathError {
	e := &LookPathError{Command: s.arg0, Err: unix.ENOENT}
	if strings.Contains(s.arg0, "/") {
		file := under(s.cwd, s.arg0)
		e.Reason = fmt.Sprintf("executable %q not found", s.arg0)
		if !path.IsAbs(s.arg0) {
			e.Reason += " in " + s.cwd
		}
		if dir := path.Dir(file); !s.exists(dir) {
			for !s.exists(path.Dir(dir)) {
				dir = path.Dir(dir)
			}
			e.Reason += ": there is no " + dir
		} else if near := nearest.Name(path.Base(file), s.names(dir)); near != "" {
			e.Reason += "; did you mean " + path.Join(dir, near) + "?"
		}
		return e
	}
	var names []string
	some := false
	for dir := range strings.SplitSeq(s.pathEnv, ":") {
		dir = under(s.cwd, dir)
		some = some || s.exists(dir)
		names = append(names, s.names(dir)...)
	}
	e.Reason = fmt.Sprintf("executable %q not found in $PATH (%s)", s.arg0, s.pathEnv)
	if near := nearest.Name(s.arg0, names); near != "" {
		e.Reason += "; did you mean " + near + "?"
	} else if !some {
		e.Reason += ", of which no directory exists"
	}
	return e
}

func (s *search) exists(file string) bool {
	fd, err := inroot.Open(s.root, file, unix.O_PATH)
	if err != nil {
		// The root itself is always there, which ends every walk upwards.
		return path.Clean(file) == "/"
	}
	unix.Close(fd)
	return true
}

// names lists a directory, as far as that is useful to guess what was meant.
func (s *search) names(dir string) []string {
	const enough = 10_000
	fd, err := inroot.Open(s.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	names, _ := f.Readdirnames(enough)
	return names
}

// failure makes the error of one candidate.
func failure(candidate string, err error, format string, args ...any) *LookPathError {
	return &LookPathError{Path: candidate, Reason: fmt.Errorf(format, args...).Error(), Err: err}
}

// visible quotes a name that has characters which do not show.
func visible(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}
