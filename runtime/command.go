package runtime

import (
	"errors"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// image is where a command is looked for, to see why it cannot be executed: the
// root directory, and the mounts that may hide a part of it.
type image struct {
	root           string
	mounts, noexec []string
}

func (r *record) image() image { return image{r.Rootfs, r.Mounts, r.NoExec} }

// commandError turns a failed execve into a *CommandError, and explains other
// errors.
func commandError(err error, process *specs.Process, in image) error {
	var step *program.Error
	if errors.As(err, &step) && step.Op == opExecute {
		return newCommandError(step.Errno, process, in)
	}
	return advise(err)
}

// newCommandError looks in the image for the reason of a failed execve. Where
// that contradicts the kernel, which had the last word, it is not told.
func newCommandError(errno unix.Errno, process *specs.Process, in image) error {
	e := &CommandError{Command: process.Args[0], Err: errno}
	files := rootfs.Candidates(pathOf(process.Env), process.Cwd, process.Args[0])
	for _, file := range files {
		if dir := below(file, in.noexec); dir != "" && errno == unix.EACCES {
			e.Reason = fmt.Sprintf("%s is mounted with noexec", dir)
			return e
		}
		if below(file, in.mounts) != "" {
			return e
		}
	}
	f, err := os.Open(in.root)
	if err != nil {
		return e
	}
	defer f.Close()
	var found *rootfs.LookPathError
	if !errors.As(rootfs.Explain(f, pathOf(process.Env), process.Cwd, process.Args[0]), &found) {
		return e
	}
	var reason unix.Errno
	if !errors.As(found.Err, &reason) {
		return e
	}
	// A search that found no command that can be executed ends with the
	// error of the first that is there, like a shell's.
	searched := !strings.Contains(e.Command, "/") && errno == unix.ENOENT
	if reason == errno || searched || errno == unix.ENOTDIR {
		e.Reason, e.Err = found.Reason, reason
	}
	return e
}
