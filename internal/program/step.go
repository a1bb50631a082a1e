package program

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Step is one system call of a program. Its methods return it, to be chained.
type Step struct {
	index    int
	nr       uintptr
	args     []Value
	out      *Var      // nil: nowhere
	tolerate [2]uint64 // a bit for each errno below 128
	onError  *Label    // nil: the next step
	onZero   *Label    // nil: as then
	then     *Label    // nil: the next step
	retries  uint32
	op       string
	object   string
}

// For says what the step is for, as its error will: "mount", "proc on /proc".
func (s *Step) For(op, object string) *Step {
	s.op, s.object = op, object
	return s
}

// Into stores the result.
func (s *Step) Into(v *Var) *Step {
	s.out = v
	return s
}

// Tolerate lets the program go on, at the next step or where Else says, when
// the call fails with one of errnos.
func (s *Step) Tolerate(errnos ...unix.Errno) *Step {
	for _, e := range errnos {
		if e <= 0 || e > 127 {
			panic(fmt.Sprintf("program: errno %d cannot be tolerated", int(e)))
		}
		s.tolerate[e/64] |= 1 << (e % 64)
	}
	return s
}

// TolerateAll lets the program go on whatever errno below 128 comes.
func (s *Step) TolerateAll() *Step {
	s.tolerate = [2]uint64{^uint64(0), ^uint64(0)}
	return s
}

// Retry makes the call again, up to n times, while it fails with EAGAIN: a
// lookup below a root does where something is renamed or mounted meanwhile,
// anywhere on the machine (openat2(2)).
func (s *Step) Retry(n uint32) *Step {
	s.retries = n
	return s
}

// Else says where to go on after a tolerated error.
func (s *Step) Else(l *Label) *Step {
	s.onError = l
	return s
}

// Zero says where to go on when the result is 0: end of file, the child's side
// of a fork.
func (s *Step) Zero(l *Label) *Step {
	s.onZero = l
	return s
}

// Then says where to go on after success.
func (s *Step) Then(l *Label) *Step {
	s.then = l
	return s
}

// encode appends the step as the interpreter reads it; address gives that of a
// step.
func (s *Step) encode(b []byte, address func(index int) uint64) []byte {
	target := func(l *Label, otherwise uint64) uint64 {
		if l == nil {
			return otherwise
		}
		return address(l.index)
	}
	le := binary.LittleEndian
	next := address(s.index + 1)
	then := target(s.then, next)
	var indirect uint64
	b = le.AppendUint64(b, uint64(s.nr))
	var args [6]uint64
	for i, a := range s.args {
		args[i] = a.bits
		if a.indirect() {
			indirect |= 1 << i
		}
	}
	for _, a := range args {
		b = le.AppendUint64(b, a)
	}
	var out uint64
	if s.out != nil {
		out = s.out.addr
	}
	for _, word := range []uint64{
		out, s.tolerate[0], s.tolerate[1],
		target(s.onError, next), target(s.onZero, then), then, indirect | uint64(s.retries)<<32,
	} {
		b = le.AppendUint64(b, word)
	}
	return b
}
