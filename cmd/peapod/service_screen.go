package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// screen redraws some lines of a terminal in place. What stood above stays.
type screen struct {
	w      io.Writer
	size   func() (columns, rows int)
	colour bool
	drawn  int // lines
}

// newScreen returns nil where f is not a terminal that can move its cursor.
func newScreen(f *os.File) *screen {
	if !isTerminal(f) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	s := &screen{w: f, colour: wantsColour(f, os.Getenv), size: func() (columns, rows int) {
		size, err := unix.IoctlGetWinsize(descriptor(f), unix.TIOCGWINSZ)
		if err != nil {
			return 0, 0
		}
		return int(size.Col), int(size.Row)
	}}
	io.WriteString(f, "\x1b[?25l") // the cursor
	return s
}

// close leaves the last lines as they are.
func (s *screen) close() {
	if s != nil {
		io.WriteString(s.w, "\x1b[?25h")
	}
}

// draw replaces what was drawn before. No line is wider than the terminal, and
// there are not more than fit: those that were drawn could not be reached else.
func (s *screen) draw(lines []string) error {
	columns, rows := s.size()
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	if most := max(rows-1, 1); len(lines) > most {
		lines = append(lines[:most-1:most-1], fmt.Sprintf("... %d more", len(lines)-most+1))
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", min(s.drawn, max(rows-1, 1)))
	}
	for i, line := range lines {
		line = cut(line, columns)
		if i == 0 && s.colour {
			line = "\x1b[1m" + line + "\x1b[0m"
		}
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, err := io.WriteString(s.w, b.String())
	return err
}

// cut shortens a line to so many characters.
func cut(line string, columns int) string {
	if r := []rune(line); len(r) > columns {
		return string(r[:columns])
	}
	return line
}
