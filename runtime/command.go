package runtime

import (
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// commandError turns a failed execve into a *CommandError and leaves other
// errors as they are.
func commandError(err error, process *specs.Process, root string) error {
	var step *program.Error
	if errors.As(err, &step) && step.Op == opExecute {
		return newCommandError(step.Errno, process, root)
	}
	return err
}

// newCommandError looks in the root for the reason of a failed execve. What is
// mounted into a container is not seen in its image: then the errno has to do.
func newCommandError(errno unix.Errno, process *specs.Process, root string) error {
	e := &CommandError{Command: process.Args[0], Err: errno}
	dir, err := os.OpenFile(root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return e
	}
	defer dir.Close()
	var found *rootfs.LookPathError
	if errors.As(rootfs.Explain(dir, pathOf(process.Env), process.Cwd, process.Args[0]), &found) {
		e.Reason = found.Reason
		if errno == unix.ENOENT {
			e.Err = found.Err // EACCES, where the search went on to nothing
		}
	}
	return e
}
