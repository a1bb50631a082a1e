package runtime

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What callers branch on; errors.Is finds them. The words are those that
// engines look for.
var (
	ErrNotExist   = errors.New("container does not exist")
	ErrExist      = errors.New("container with given ID already exists")
	ErrNotRunning = errors.New("container not running")
	ErrNotStopped = errors.New("container is not stopped")
	ErrNotCreated = errors.New("container is not waiting to be started")
)

// Error tells what failed to which container.
type Error struct {
	Op  string // "create", "start", …
	ID  string
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s container %s: %v", e.Op, e.ID, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// wrap is nil-transparent.
func wrap(op, id string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	return &Error{Op: op, ID: id, Err: err}
}

// CommandError tells that a command could not be executed. errors.Is finds the
// errno of execve(2).
type CommandError struct {
	Command string // as it was given: args[0]
	Reason  string // what was found, or looked for
	Err     error
}

func (e *CommandError) Error() string {
	if rest, ok := strings.CutPrefix(e.Reason, fmt.Sprintf("executable %q ", e.Command)); ok {
		return fmt.Sprintf("exec %q: executable file %s", e.Command, rest)
	}
	if e.Reason != "" {
		// Engines look for the errno's words to tell 126 from 127.
		return fmt.Sprintf("exec %q: %v: %s", e.Command, e.Err, e.Reason)
	}
	if errors.Is(e.Err, unix.ENOENT) {
		return fmt.Sprintf("exec %q: executable file not found", e.Command)
	}
	return fmt.Sprintf("exec %q: %v", e.Command, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// ExitCode is what shells return: 127 where the command was not found, 126
// where it could not be executed.
func (e *CommandError) ExitCode() int {
	if errors.Is(e.Err, unix.ENOENT) || errors.Is(e.Err, unix.ENOTDIR) {
		return 127
	}
	return 126
}
