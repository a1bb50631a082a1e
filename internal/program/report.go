package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

const messageSize = 24 // errno, step, value

// Message is what Send tells the parent.
type Message struct {
	// Value goes with the message: whatever a step stores in it.
	Value   *Var
	label   string
	content Value
}

// Message lays a message out. The parent sees label in its Event.
func (p *Program) Message(label string) *Message {
	b := make([]byte, messageSize)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(p.labels)))
	p.labels = append(p.labels, label)
	content := p.Bytes(b, "{"+label+"}")
	return &Message{p.Patch(content, 16, "value"), label, content}
}

// Send adds a step that tells m. It raises SIGPIPE, which ends the process,
// when the parent is no longer there.
func (p *Program) Send(m *Message) {
	p.Call(unix.SYS_WRITE, p.Report(), m.content, Int(messageSize)).For("report", m.label)
}

// Sync adds a synchronisation point: the process reports that it was reached
// and waits until the parent has called Continue. If the parent dies meanwhile
// the process ends.
func (p *Program) Sync(label string) *Var {
	m := p.Message(label)
	p.Send(m)
	buffer := p.Bytes(make([]byte, 8), "&answer")
	dead, on := p.Label(), p.Label()
	p.Call(unix.SYS_READ, p.Report(), buffer, Int(1)).For("wait for", label).Then(on).Zero(dead)
	p.Here(dead)
	p.Exit(exitStatus)
	p.Here(on)
	return m.Value
}

// GaveUp tells that the program ended itself by a message of GiveUp.
type GaveUp struct {
	Code  uint64 // which one
	Value uint64 // what it found
}

func (g *GaveUp) Error() string {
	return fmt.Sprintf("the set-up gave up at point %d with %d", g.Code, g.Value)
}

// givenUp stands where a failed step's errno does otherwise.
const givenUp = 1 << 16

// GiveUp lays out a message that is the program's last: what reads it gets a
// *GaveUp with code and the message's Value as its error, whether it has the
// program or not. Exit has to follow its Send.
func (p *Program) GiveUp(code uint64) *Message {
	b := binary.LittleEndian.AppendUint64(nil, givenUp)
	b = binary.LittleEndian.AppendUint64(b, code)
	show := fmt.Sprintf("{gave up at %d}", code)
	content := p.Bytes(append(b, make([]byte, 8)...), show)
	return &Message{p.Patch(content, 16, "value"), "failure", content}
}

// Executing adds the message that announces the execve. Steps between it and
// the execve may only be such as cannot be reported otherwise.
func (p *Program) Executing() { p.announce(valueExecuting) }

// NotExecuting takes Executing back, for a step behind it that failed.
func (p *Program) NotExecuting() { p.announce(0) }

func (p *Program) announce(value uint64) {
	m := p.Message(executing)
	p.Set(m.Value, value)
	p.Send(m)
}

// Reporting are the arguments of the write(2) that reports a failed step, and the
// status of the exit_group(2) that follows.
func (p *Program) Reporting() (write []uint64, exit uint64) {
	return []uint64{uint64(p.report), dataBase + 8, messageSize}, exitStatus
}

const (
	executing      = "executing"
	valueExecuting = 1 << 32 // no other message has this value
	exitStatus     = 127     // of a process whose program failed
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

// LastMessage is what the messages say that came without their program, for
// instance through a FIFO: what failed first, a unix.Errno or a *GaveUp, nil for
// nothing; and whether Executing was reached.
func LastMessage(messages []byte) (failure error, executing bool) {
	le := binary.LittleEndian
	for ; len(messages) >= messageSize; messages = messages[messageSize:] {
		errno := le.Uint64(messages)
		switch {
		case errno == 0:
			switch le.Uint64(messages[16:]) {
			case valueExecuting:
				executing = true
			case 0:
				executing = false
			}
		case failure != nil:
		case errno == givenUp:
			failure = &GaveUp{le.Uint64(messages[8:]), le.Uint64(messages[16:])}
		default:
			failure = unix.Errno(errno)
		}
	}
	return failure, executing
}

// ReadMessage reads one message of a program that is not known here, and what goes
// with it: a value below 1<<32, but for 0, is that of a Message of the program's.
func ReadMessage(r io.Reader) (message []byte, value uint64, err error) {
	message = make([]byte, messageSize)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, 0, err
	}
	le := binary.LittleEndian
	if value = le.Uint64(message[16:]); value >= valueExecuting || le.Uint64(message) != 0 {
		value = 0
	}
	return message, value, nil
}

// receive reads the next message of a process of p.
func (p *Program) receive(r io.Reader) (Event, error) {
	var b [messageSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Event{}, err
	}
	le := binary.LittleEndian
	errno, step, value := unix.Errno(le.Uint64(b[:])), le.Uint64(b[8:]), le.Uint64(b[16:])
	if errno == givenUp {
		return Event{}, &GaveUp{step, value}
	}
	if errno == 0 {
		if step >= uint64(len(p.labels)) {
			return Event{}, fmt.Errorf("program: message %d of %d", step, len(p.labels))
		}
		return Event{p.labels[step], value}, nil
	}
	// The interpreter knows the step's address only.
	step = (step - dataBase - uint64(len(p.data))) / stepSize
	if step >= uint64(len(p.steps)) {
		return Event{}, fmt.Errorf("program: step %d of %d failed: %w", step, len(p.steps), errno)
	}
	s := p.steps[step]
	return Event{}, &Error{Op: s.op, Object: s.object, Call: Name(s.nr), Step: s.index, Errno: errno}
}
