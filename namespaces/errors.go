package namespaces

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotNamespace is wrapped by errors about a file that is no namespace.
	ErrNotNamespace = errors.New("not a namespace")
	// ErrKind is wrapped by errors about a namespace of an unknown or unfitting kind.
	ErrKind = errors.New("wrong kind of namespace")
	// ErrOption is wrapped by errors about [Options] that cannot be met.
	ErrOption = errors.New("invalid option")
)

// Error says which step failed on what. Its cause is found by errors.Is and
// errors.As; for a failed system call it is a [unix.Errno].
type Error struct {
	Op     string // what was done: "enter", "make", "open"…
	Target string // to what: "network namespace", a path…
	Err    error  // why it failed
}

func (e *Error) Error() string {
	s := e.Op + " " + e.Target + ": " + e.Err.Error()
	if errors.Is(e.Err, unix.EPERM) {
		s += " (it takes CAP_SYS_ADMIN: run as root or in a user namespace of your own)"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fail returns nil when err is nil.
func fail(op, target string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Target: target, Err: err}
}

func fileTarget(f *os.File) string {
	if f == nil {
		return "namespace"
	}
	return fmt.Sprintf("namespace %q", f.Name())
}
