package pod

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const (
	maxLine    = 16 << 10               // longer lines are cut into parts, as CRI does
	maxLogSize = 10 << 20               // then the log becomes <name>.log.1, and a new one begins
	lineWait   = 100 * time.Millisecond // for the end of a line
	timeLayout = "2006-01-02T15:04:05.000000000Z07:00"
)

// logFile is a container's log in the format of the Kubernetes container
// runtime interface: "TIME STREAM F TEXT" a line, P instead of F for a part of
// a line that goes on. Its last part is F, and empty where nothing more came.
type logFile struct {
	path   string
	output func(Line) // or nil

	mu     sync.Mutex
	file   *os.File
	size   int64
	buffer []byte
	err    error // the first
}

func openLog(path string, output func(Line)) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{path: path, output: output, file: f, size: info.Size()}, nil
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}

// write adds lines, each with its end, and perhaps a part of one without. The
// log has them before output gets them, which may take its time.
func (l *logFile) write(container, stream string, text []byte) {
	now := time.Now().UTC()
	l.add(now, stream, text)
	if l.output == nil {
		return
	}
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		l.output(Line{Container: container, Stream: stream, Time: now, Text: line, Partial: !whole})
		text = rest
	}
}

// add writes lines to the file.
func (l *logFile) add(now time.Time, stream string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffer = l.buffer[:0]
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		text = rest
		l.buffer = now.AppendFormat(l.buffer, timeLayout)
		l.buffer = append(append(l.buffer, ' '), stream...)
		tag := " F "
		if !whole {
			tag = " P "
		}
		l.buffer = append(append(append(l.buffer, tag...), line...), '\n')
	}
	if l.size+int64(len(l.buffer)) > maxLogSize {
		l.rotate()
	}
	n, err := l.file.Write(l.buffer)
	l.size += int64(n)
	if l.err == nil {
		l.err = err // a full disk ends neither the container nor, once there is room, its log
	}
}

// rotate begins a new file and keeps one old one.
func (l *logFile) rotate() {
	err := os.Rename(l.path, l.path+".1")
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	}
	if err != nil {
		if l.err == nil {
			l.err = err
		}
		return // the old one goes on
	}
	l.file.Close()
	l.file, l.size = f, 0
}

// pump copies what a container writes to one stream until it ends. A line whose
// end does not come, such as a question, is written after a while all the same,
// as a part; only then is there a timer.
func (l *logFile) pump(container, stream string, r io.Reader) {
	var buffer []byte
	used := 0
	begun := false // a part of the line has been written
	waiting := newLineTimer(r)
	for {
		if used == len(buffer) {
			// Small at first: many containers say little.
			buffer = append(buffer, make([]byte, max(1024, len(buffer)))...)
		}
		n, err := r.Read(buffer[used:])
		used += n
		late := errors.Is(err, os.ErrDeadlineExceeded)
		end := bytes.LastIndexByte(buffer[:used], '\n') + 1
		if end == 0 && (used >= maxLine || late) {
			end = used
		}
		if end > 0 {
			l.write(container, stream, buffer[:end])
			begun = buffer[end-1] != '\n'
			used = copy(buffer, buffer[end:used])
		}
		if err != nil && !late {
			if used > 0 || begun {
				// The last line has no end; it is whole nevertheless.
				l.write(container, stream, append(buffer[:used], '\n'))
			}
			return
		}
		waiting.update(used > 0, end > 0)
	}
}

// lineTimer ends a read when an unfinished line has waited for long. Readers
// without deadlines have none.
type lineTimer struct {
	r   interface{ SetReadDeadline(time.Time) error }
	set bool
}

func newLineTimer(r io.Reader) *lineTimer {
	t := &lineTimer{}
	t.r, _ = r.(interface{ SetReadDeadline(time.Time) error })
	return t
}

// update is told whether there is an unfinished line, and whether it is a new
// one. The time counts from its beginning: what comes bit by bit is seen too.
func (t *lineTimer) update(unfinished, fresh bool) {
	if t.r == nil || unfinished == t.set && !(unfinished && fresh) {
		return
	}
	var when time.Time
	if unfinished {
		when = time.Now().Add(lineWait)
	}
	if t.r.SetReadDeadline(when) != nil {
		t.r = nil
	}
	t.set = unfinished
}
