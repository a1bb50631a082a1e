package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// MaxErrors is how many errors of one file are reported.
const MaxErrors = 10

// Error is what is wrong at one place of a file.
type Error struct {
	// File is the name that Parse was given; "" when the value never came from a file.
	File string
	// Line and Column count from 1; Column counts characters. 0 when unknown.
	Line, Column int
	// Field is the path to the value, such as spec.containers[1].ports[0].hostPort;
	// "" for errors of syntax and of the file as a whole.
	Field string
	// Err says what was found and what was expected.
	Err error
}

// Error returns "file:line:column: field: what is wrong".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors are the errors of one file in the order of its lines, the first
// MaxErrors that were found.
type Errors struct {
	List []*Error
	// More says that further errors were left out.
	More bool
}

// Error returns one line for each error.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, one := range e.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	if e.More {
		fmt.Fprintf(&b, "\nand more: only the first %d errors are shown", len(e.List))
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As look into each error.
func (e *Errors) Unwrap() []error {
	list := make([]error, len(e.List))
	for i, one := range e.List {
		list[i] = one
	}
	return list
}

// Add appends err, or notes that it was left out.
func (e *Errors) Add(err *Error) {
	if len(e.List) == MaxErrors {
		e.More = true
		return
	}
	e.List = append(e.List, err)
}

// Err puts the errors in order and returns nil when there are none, so that a
// caller can return it.
func (e *Errors) Err() error {
	if e == nil || len(e.List) == 0 {
		return nil
	}
	slices.SortStableFunc(e.List, func(a, b *Error) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return e
}
