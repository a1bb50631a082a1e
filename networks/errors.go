package networks

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What a caller may want to know of an error.
var (
	// ErrInvalid: a network's text or an option that makes no sense.
	ErrInvalid = errors.New("invalid")
	// ErrExist: what is to be made or removed belongs to somebody who lives.
	ErrExist = errors.New("in use")
	// ErrExhausted: no address is left on the bridge.
	ErrExhausted = errors.New("no address is left")
	// ErrClash: a subnet is in use on the host.
	ErrClash = errors.New("the subnet is in use")
	// ErrUnsupported: the kernel or the host lacks what the network needs.
	ErrUnsupported = errors.New("not supported here")
)

// Error says which step failed on what.
type Error struct {
	Op     string // what was done: "make", "add to eth0"…
	Target string // to what: "bridge peapod0", "address 10.1.0.2/22"…
	Err    error  // why it failed, and what to do where that is known
}

func (e *Error) Error() string { return e.Op + " " + e.Target + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// fail returns nil when err is nil.
func fail(op, target string, err error) error {
	if err == nil {
		return nil
	}
	_, told := errors.AsType[*Error](err)
	if !told && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		err = fmt.Errorf("%w (needs CAP_NET_ADMIN: run as root)", err)
	}
	return &Error{Op: op, Target: target, Err: err}
}

// unsupported is a cause that names the feature which is missing.
type unsupported struct {
	feature string
	err     error
}

func (u *unsupported) Error() string { return u.err.Error() + "; " + u.feature }

func (u *unsupported) Unwrap() []error { return []error{ErrUnsupported, u.err} }

// lacking makes the kernel's "no such thing" for a feature a word about it.
func lacking(err error, feature string) error {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT} {
		if errors.Is(err, errno) {
			return &unsupported{"the kernel has no " + feature, err}
		}
	}
	return err
}

// worded is a cause in words that need no more: what is behind it is found by
// errors.Is, and not told.
type worded struct {
	text  string
	cause error
}

func (w *worded) Error() string { return w.text }

func (w *worded) Unwrap() error { return w.cause }
