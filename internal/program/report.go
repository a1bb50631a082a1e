package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

const messageSize = 24 // errno, step, value

// Notify adds a step that tells the parent that it was reached, with what the
// returned variable then holds.
func (p *Program) Notify(label string) Var {
	message := p.message(label)
	return p.Patch(message, 16, "value")
}

// message adds the step that writes a message of no error. The parent finds
// the step's label by its index.
func (p *Program) message(label string) Value {
	b := make([]byte, messageSize)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(p.steps)))
	m := p.Bytes(b, "{"+label+"}")
	p.Call(unix.SYS_WRITE, p.Report(), m, Int(messageSize)).For("report", label)
	return m
}

// Sync adds a synchronisation point: the process reports that it was reached
// and waits until the parent has called Continue. If the parent dies meanwhile
// the process ends.
func (p *Program) Sync(label string) Var {
	v := p.Notify(label)
	buffer := p.Bytes(make([]byte, 8), "&answer")
	dead, on := p.Label(), p.Label()
	p.Call(unix.SYS_READ, p.Report(), buffer, Int(1)).For("wait for", label).Then(on).Zero(dead)
	p.Here(dead)
	p.Exit(exitStatus)
	p.Here(on)
	return v
}

// Executing adds the message that announces the execve. Steps between it and
// the execve may only be such as cannot be reported otherwise. It raises
// SIGPIPE, which ends the process, when the parent is no longer there.
func (p *Program) Executing() { p.message(executing) }

const (
	executing  = "executing"
	exitStatus = 127 // of a process whose program failed
)

// Error is a failed step. errors.Is finds its Errno.
type Error struct {
	Op     string // what was being done: "mount"
	Object string // to what: "proc on /proc"
	Call   string // the system call
	Step   int    // its number in the program
	Errno  unix.Errno
}

func (e *Error) Error() string {
	what := e.Op
	if what == "" {
		what = e.Call
	}
	if e.Object != "" {
		what += " " + e.Object
	}
	if e.Op != "" && e.Op != e.Call {
		what += " (" + e.Call + ")"
	}
	return what + ": " + e.Errno.Error()
}

func (e *Error) Unwrap() error { return e.Errno }

// ErrDied is returned when the process ended before its program did, without a
// report: it was killed.
var ErrDied = errors.New("the process was killed while it was being set up")

// Event is a message of the process.
type Event struct {
	Label string
	Value uint64
}

// receive reads the next message from fd, which belongs to a process of p.
func (p *Program) receive(r io.Reader) (Event, error) {
	var b [messageSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Event{}, err
	}
	le := binary.LittleEndian
	errno, step, value := unix.Errno(le.Uint64(b[:])), le.Uint64(b[8:]), le.Uint64(b[16:])
	if errno != 0 {
		// The interpreter knows the step's address only.
		step = (step - dataBase - uint64(len(p.data))) / stepSize
	}
	if step >= uint64(len(p.steps)) {
		return Event{}, fmt.Errorf("program: a message of step %d of %d", step, len(p.steps))
	}
	s := p.steps[step]
	if errno == 0 {
		return Event{s.object, value}, nil
	}
	return Event{}, &Error{Op: s.op, Object: s.object, Call: Name(s.nr), Step: s.index, Errno: errno}
}
