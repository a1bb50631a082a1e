package runtime

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
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

// newCommandError looks in the image for the reason of a failed execve. What is
// mounted into the container is not seen there: then the errno has to do.
func newCommandError(errno unix.Errno, process *specs.Process, root string) error {
	return &CommandError{Command: process.Args[0], Err: errno}
}
