package cgroups

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Sentinels for what a caller branches on; every error of this package that
// has such a cause satisfies errors.Is with one of them.
var (
	// ErrNotExist: the group is in none of the mounted hierarchies.
	// errors.Is(err, fs.ErrNotExist) holds too.
	ErrNotExist error = &sentinel{"no such group", fs.ErrNotExist}
	// ErrExist: New found processes in the group. errors.Is(err, fs.ErrExist)
	// holds too.
	ErrExist error = &sentinel{"group is in use", fs.ErrExist}
	// ErrBusy: Delete or Kill gave up while processes were still there.
	ErrBusy = errors.New("processes remain")
	// ErrFrozen: Enter would not come back from a frozen group.
	ErrFrozen = errors.New("group is frozen")
	// ErrInvalid: a path or a value that no kernel would take.
	ErrInvalid = errors.New("invalid")
	// ErrNoController: a limit was asked for whose controller this host lacks.
	ErrNoController = errors.New("controller is not available")
	// ErrNotMounted: this host has no hierarchy, or none is seen from here.
	ErrNotMounted = errors.New("no hierarchy is mounted")
	// ErrUnsupported: an OCI resource that this package does not apply.
	ErrUnsupported = errors.New("not supported")
)

// sentinel is a sentinel that is another one too. fmt.Errorf would make one as
// well, at each start of each command.
type sentinel struct {
	text string
	is   error
}

func (s *sentinel) Error() string { return s.text + ": " + s.is.Error() }

func (s *sentinel) Unwrap() error { return s.is }

// Error is the error of every operation of this package.
type Error struct {
	Op   string // what was being done, such as "set memory.max to 1048576"
	Path string // the group, as given to New or Load
	Err  error  // the cause, with the remedy where one is known
}

// Error gives group, operation and cause on one line.
func (e *Error) Error() string {
	return fmt.Sprintf("cgroup %s: %s: %v", quoted(e.Path), e.Op, e.Err)
}

// Unwrap gives the cause: a sentinel of this package or a unix.Errno.
func (e *Error) Unwrap() error { return e.Err }

// quoted shows a path as it is unless that would hide or break something.
func quoted(unsafePath string) string {
	if unsafePath == "" || checkName(unsafePath) != nil {
		return fmt.Sprintf("%q", unsafePath)
	}
	return unsafePath
}

// failed wraps err; nil stays nil, and what is an *Error already stays as is.
func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Op: op, Path: path, Err: err}
}

// hint adds to an errno what it usually means on a cgroup file system.
func hint(err error) error {
	var text string
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		text = "needs root, or a part of the hierarchy that was delegated to this user"
	case errors.Is(err, unix.EROFS):
		text = "the hierarchy is mounted read-only; remount it read-write"
	case errors.Is(err, unix.EAGAIN):
		text = "a limit on the number of groups (cgroup.max.descendants, cgroup.max.depth) is reached"
	default:
		return err
	}
	return fmt.Errorf("%w (%s)", err, text)
}
