package seccomp

import (
	"errors"
	"fmt"
)

// Error tells what is wrong with a field of a profile, such as
// "syscalls[2].args[0].op".
type Error struct {
	Field string
	Err   error
}

func (e *Error) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

func wrong(field, format string, args ...any) error {
	return &Error{field, fmt.Errorf(format, args...)}
}

// within puts the field of an *Error below parent.
func within(parent string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return &Error{parent + "." + e.Field, e.Err}
	}
	return err
}
