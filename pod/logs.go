package pod

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// LogOptions say which lines Logs returns.
type LogOptions struct {
	// Container is one of the pod's; "" is all, each in turn when they are
	// not followed.
	Container string
	// Tail is how many of the last lines of each container, with all of
	// their parts, negative for all of them.
	Tail int
	// Follow goes on with what is written later, until the pod has ended.
	Follow bool
	// Since leaves out what was written before.
	Since time.Time
	// Previous is about the run of each container before its last restart. It cannot
	// be followed.
	Previous bool
}

// ErrNoPrevious tells that no container has been started again.
var ErrNoPrevious = errors.New("there is no log of an earlier run")

// Logs calls f with each line of the pod's containers, one at a time.
func (s *Store) Logs(ctx context.Context, name string, o LogOptions, f func(Line)) error {
	r, err := s.Get(name)
	if err != nil {
		return err
	}
	p, err := s.place(name)
	if err != nil {
		return err
	}
	list := r.Status.ContainerStatuses
	if o.Container != "" {
		c, err := r.container(o.Container)
		if err != nil {
			return err
		}
		list = []ContainerStatus{*c}
	}
	if o.Previous && o.Follow {
		return errors.New("the log of an earlier run does not grow: leave one of previous and follow out")
	}
	if o.Previous && !slices.ContainsFunc(list, ranBefore) {
		return fmt.Errorf("pod %s: %w: %s not been started again", name, ErrNoPrevious, hasNot(list))
	}
	readers := make([]*logReader, len(list))
	for i, c := range list {
		readers[i] = &logReader{container: c.Name, path: p.containerLog(c.Name), from: o.Since}
		defer readers[i].close()
		if o.Previous && !readers[i].limit(&c, o.Since) {
			continue
		}
		if err := readers[i].begin(o.Tail, f); err != nil {
			return err
		}
	}
	if !o.Follow {
		return nil
	}
	return follow(ctx, p, readers, f)
}

// follow waits for the logs to grow and reads on, until the pod's supervisor
// has gone.
func follow(ctx context.Context, p place, readers []*logReader, f func(Line)) error {
	w, err := watch(ctx, p.logs(), p.state)
	if err != nil {
		return err
	}
	defer w.close()
	for {
		// Looked at before reading, so that nothing comes after it.
		running, err := p.supervised()
		if err != nil {
			return err
		}
		for _, r := range readers {
			if err := r.more(f); err != nil {
				return err
			}
		}
		if !running {
			return nil
		}
		if err := w.wait(time.Second); err != nil {
			return err
		}
	}
}

// ranBefore tells whether a container has run, ended, and been started again.
func ranBefore(c ContainerStatus) bool {
	return c.LastState.Terminated != nil && !c.LastState.Terminated.StartedAt.IsZero()
}

func hasNot(list []ContainerStatus) string {
	if len(list) == 1 {
		return "container " + list[0].Name + " has"
	}
	return "its containers have"
}

// limit leaves out what is not of the run before the last, and tells whether there
// was one.
func (l *logReader) limit(c *ContainerStatus, since time.Time) bool {
	if !ranBefore(*c) {
		return false
	}
	l.from, l.to = c.LastState.Terminated.StartedAt, c.LastState.Terminated.FinishedAt
	if since.After(l.from) {
		l.from = since
	}
	return true
}

// logReader reads one container's log.
type logReader struct {
	container string
	path      string
	file      *os.File
	lines     *bufio.Reader
	rest      []byte    // of a line whose end was not there yet
	from, to  time.Time // of the lines that are wanted; zero is any
}

func (l *logReader) close() {
	if l.file != nil {
		l.file.Close()
	}
}

// begin reads what is there: all, or the last tail lines.
func (l *logReader) begin(tail int, f func(Line)) error {
	var last []Line
	limit := 2 * max(tail, 16)
	keep := func(line Line) {
		line.Text = bytes.Clone(line.Text)
		last = append(last, line)
		if len(last) > limit {
			last = append(last[:0:0], lastLines(last, tail)...)
			limit = 2 * max(len(last), 16)
		}
	}
	if tail < 0 {
		keep = f
	}
	if err := l.beginOld(keep); err != nil {
		return err
	}
	if l.file != nil {
		if err := l.read(keep); err != nil {
			return err
		}
	}
	if tail >= 0 {
		for _, line := range lastLines(last, tail) {
			f(line)
		}
	}
	return nil
}

// lastLines returns the last n lines of a list, each with its parts.
func lastLines(list []Line, n int) []Line {
	ended := map[string]bool{} // the streams whose last line has ended
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Partial && ended[list[i].Stream] {
			continue
		}
		ended[list[i].Stream] = true
		if n--; n < 0 {
			return list[i+1:]
		}
	}
	return list
}

// beginOld opens the log and reads the one before it. The newer one is opened
// first, so that nothing is missed when it becomes the old one meanwhile.
func (l *logReader) beginOld(keep func(Line)) (err error) {
	l.file, err = os.Open(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.lines = bufio.NewReader(l.file)
	old, err := os.Open(l.path + ".1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	if l.file != nil && sameFile(l.file, old) {
		return nil
	}
	r := &logReader{container: l.container, path: old.Name(), from: l.from, to: l.to, lines: bufio.NewReader(old)}
	return r.read(keep)
}

func sameFile(a, b *os.File) bool {
	var x, y unix.Stat_t
	return unix.Fstat(int(a.Fd()), &x) == nil && unix.Fstat(int(b.Fd()), &y) == nil && x.Ino == y.Ino && x.Dev == y.Dev
}

// more reads what was written since, in a new file too if there is one.
func (l *logReader) more(f func(Line)) error {
	if l.file != nil {
		if err := l.read(f); err != nil {
			return err
		}
		if !l.rotated() {
			return nil
		}
	}
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.file != nil {
		// Once more: between the reading and the rotation lines came.
		err := l.read(f)
		l.file.Close()
		if err != nil {
			file.Close()
			return err
		}
	}
	l.file, l.lines = file, bufio.NewReader(file)
	return l.read(f)
}

// rotated tells whether the path names another file by now.
func (l *logReader) rotated() bool {
	var is, was unix.Stat_t
	if unix.Stat(l.path, &is) != nil || unix.Fstat(int(l.file.Fd()), &was) != nil {
		return false
	}
	return is.Ino != was.Ino || is.Dev != was.Dev
}

// read calls f with the lines up to the end of the file.
func (l *logReader) read(f func(Line)) error {
	for {
		part, err := l.lines.ReadSlice('\n')
		l.rest = append(l.rest, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", l.path, err)
		}
		if line, ok := parseLogLine(bytes.TrimSuffix(l.rest, []byte{'\n'})); ok && l.wants(line.Time) {
			line.Container = l.container
			f(line)
		}
		l.rest = l.rest[:0]
	}
}

func (l *logReader) wants(t time.Time) bool {
	return !t.Before(l.from) && (l.to.IsZero() || !t.After(l.to))
}

// parseLogLine reads a line in the format of the container runtime interface.
func parseLogLine(text []byte) (Line, bool) {
	when, text, ok1 := bytes.Cut(text, []byte{' '})
	stream, text, ok2 := bytes.Cut(text, []byte{' '})
	tag, text, ok3 := bytes.Cut(text, []byte{' '})
	t, err := time.Parse(time.RFC3339Nano, string(when))
	if !ok1 || !ok2 || !ok3 || err != nil {
		return Line{}, false
	}
	return Line{Stream: string(stream), Time: t, Text: text, Partial: string(tag) == "P"}, true
}
