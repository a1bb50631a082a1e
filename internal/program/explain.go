package program

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// Len is the number of steps so far.
func (p *Program) Len() int { return len(p.steps) }

// Names are those of the steps from the number first on, for Explain. The program
// is complete: Write was called.
func (p *Program) Names(first int) []byte {
	var b []byte
	for i := first; i < len(p.steps); i++ {
		s := p.steps[i]
		address := dataBase + uint64(len(p.data)) + uint64(i)*stepSize
		b = strconv.AppendUint(b, address, 10)
		for _, field := range []string{strconv.Itoa(s.index), Name(s.nr), s.op, s.object} {
			b = append(append(b, 0), field...)
		}
		b = append(b, 0)
	}
	return b
}

// Explain finds the first step that failed, as the messages of a program say that
// is not known here, among names, which its maker wrote down; nil where it is not
// there.
func Explain(messages, names []byte) *Error {
	const fields = 5 // of each step
	le := binary.LittleEndian
	for ; len(messages) >= messageSize; messages = messages[messageSize:] {
		errno, step := le.Uint64(messages), strconv.FormatUint(le.Uint64(messages[8:]), 10)
		if errno == 0 {
			continue
		}
		if errno == givenUp {
			return nil
		}
		for list := bytes.Split(names, []byte{0}); len(list) > fields; list = list[fields:] {
			if string(list[0]) == step {
				index, _ := strconv.Atoi(string(list[1]))
				return &Error{Op: string(list[3]), Object: string(list[4]), Call: string(list[2]), Step: index, Errno: unix.Errno(errno)}
			}
		}
		return nil
	}
	return nil
}
