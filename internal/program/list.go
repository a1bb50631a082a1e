package program

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// List writes the program to w, a line a call as strace(1) prints it, each
// behind its number. What comes behind # is what the step is for, and where
// the program goes on if that is not the next line. Notes come last.
func (p *Program) List(w io.Writer) error {
	for i, f := range p.files {
		if _, err := fmt.Fprintf(w, "# descriptor %d: %s\n", 3+i, f.name); err != nil {
			return err
		}
	}
	for _, s := range p.steps {
		if _, err := fmt.Fprintf(w, "%3d  %s\n", s.index, s); err != nil {
			return err
		}
	}
	for _, write := range p.notes {
		if err := write(w); err != nil {
			return err
		}
	}
	return nil
}

func (s *Step) String() string {
	var b strings.Builder
	b.WriteString(Name(s.nr))
	b.WriteByte('(')
	for i, a := range s.args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.String())
	}
	b.WriteByte(')')
	if s.out != nil {
		b.WriteString(" = " + s.out.String())
	}
	var notes []string
	if s.op != "" {
		notes = append(notes, strings.TrimSpace(s.op+" "+s.object))
	}
	if s.then != nil {
		notes = append(notes, fmt.Sprintf("then %d", s.then.index))
	}
	if s.onZero != nil && s.onZero != s.then {
		notes = append(notes, fmt.Sprintf("0: %d", s.onZero.index))
	}
	if s.retries > 0 {
		notes = append(notes, "EAGAIN: again")
	}
	if t := s.tolerated(); t != "" {
		on := s.index + 1
		if s.onError != nil {
			on = s.onError.index
		}
		notes = append(notes, fmt.Sprintf("%s: %d", t, on))
	}
	if len(notes) > 0 {
		b.WriteString("  # " + strings.Join(notes, "; "))
	}
	return b.String()
}

func (s *Step) tolerated() string {
	if s.tolerate == [2]uint64{^uint64(0), ^uint64(0)} {
		return "any error"
	}
	var names []string
	for e := unix.Errno(1); e < 128; e++ {
		if s.tolerate[e/64]>>(e%64)&1 != 0 {
			names = append(names, unix.ErrnoName(e))
		}
	}
	return strings.Join(names, ", ")
}
