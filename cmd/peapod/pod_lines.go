package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/peapod/peapod/pod"
)

// lineWriter prints what containers write, each line behind the name of its
// container, coloured on a terminal.
type lineWriter struct {
	out, err io.Writer
	prefixes map[string][2]string // by container: on out and on err; nil: none
	times    bool                 // begin with the time
	buffer   []byte
	mu       sync.Mutex
	// The line that was begun last and not ended: a long one comes in
	// parts, and others may come between them.
	open pod.Line
}

// newLineWriter pads the names to the longest of them.
func newLineWriter(stdout, stderr *os.File, names []string) *lineWriter {
	w := &lineWriter{out: stdout, err: stderr, prefixes: map[string][2]string{}}
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	colours := [2]bool{wantsColour(stdout, os.Getenv), wantsColour(stderr, os.Getenv)}
	for i, n := range names {
		var both [2]string
		for k, colour := range colours {
			both[k] = fmt.Sprintf("%-*s | ", width, n)
			if colour {
				// Cyan, yellow, green, magenta, blue; bright once those are used.
				both[k] = fmt.Sprintf("\x1b[%dm%s\x1b[0m", []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}[i%10], both[k])
			}
		}
		w.prefixes[n] = both
	}
	return w
}

// wantsColour follows no-color.org.
func wantsColour(f *os.File, env func(string) string) bool {
	return env("NO_COLOR") == "" && env("TERM") != "dumb" && isTerminal(f)
}

// write prints a line in one piece.
func (w *lineWriter) write(l pod.Line) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	to, k := w.out, 0
	if l.Stream == "stderr" {
		to, k = w.err, 1
	}
	b := w.buffer[:0]
	continues := w.open.Partial && w.open.Container == l.Container && w.open.Stream == l.Stream
	if w.open.Partial && !continues {
		b = append(b, '\n')
	}
	if !continues {
		if w.times {
			b = append(l.Time.AppendFormat(b, time.RFC3339Nano), ' ')
		}
		b = append(b, w.prefixes[l.Container][k]...)
	}
	b = append(b, l.Text...)
	if !l.Partial {
		b = append(b, '\n')
	}
	w.buffer = b
	w.open = pod.Line{Container: l.Container, Stream: l.Stream, Partial: l.Partial}
	_, err := to.Write(b)
	return err
}

// note prints a line of peapod's own, unless text is "".
func (w *lineWriter) note(text string) {
	if text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open.Partial {
		to := w.out
		if w.open.Stream == "stderr" {
			to = w.err
		}
		to.Write([]byte{'\n'})
		w.open = pod.Line{}
	}
	fmt.Fprintf(w.err, "peapod: %s\n", text)
}
