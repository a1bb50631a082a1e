package main

import "time"

// notes prints lines of peapod's own beside those of the containers, without
// waiting for whoever reads them: a terminal that was stopped must not keep a
// pod from ending.
type notes struct {
	lines   chan string
	printed chan struct{} // closed when all were
}

func newNotes(w *lineWriter) *notes {
	n := &notes{make(chan string, 64), make(chan struct{})}
	go func() {
		defer close(n.printed)
		for text := range n.lines {
			w.note(text)
		}
	}()
	return n
}

// tell prints text soon, or never when nobody reads.
func (n *notes) tell(text string) {
	select {
	case n.lines <- text:
	default:
	}
}

// close waits for a while until all is printed. Nothing is told afterwards.
func (n *notes) close() {
	close(n.lines)
	select {
	case <-n.printed:
	case <-time.After(time.Second):
	}
}
