package runtime

import (
	"errors"
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// commandError turns a failed execve into a *CommandError and leaves other
// errors as they are. root is the image, which mounts on the directories mounts
// may hide.
func commandError(err error, process *specs.Process, root string, mounts []string) error {
	var step *program.Error
	if errors.As(err, &step) && step.Op == opExecute {
		return newCommandError(step.Errno, process, root, mounts)
	}
	return err
}

// newCommandError looks in the image for the reason of a failed execve. Where
// that contradicts the kernel, which had the last word, it is not told.
func newCommandError(errno unix.Errno, process *specs.Process, root string, mounts []string) error {
	e := &CommandError{Command: process.Args[0], Err: errno}
	if hidden(process, mounts) {
		return e
	}
	f, err := os.Open(root)
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

// hidden tells whether a mount may hide what is looked for.
func hidden(process *specs.Process, mounts []string) bool {
	for _, file := range rootfs.Candidates(pathOf(process.Env), process.Cwd, process.Args[0]) {
		for _, m := range mounts {
			if strings.HasPrefix(path.Clean(file), path.Clean("/"+m)+"/") {
				return true
			}
		}
	}
	return false
}
