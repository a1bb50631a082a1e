package pod

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

const (
	maxLine    = 16 << 10 // longer lines are cut into parts, as CRI does
	maxLogSize = 10 << 20 // then the log becomes <name>.log.1, and a new one begins
	timeLayout = "2006-01-02T15:04:05.000000000Z07:00"
)

// logFile is a container's log in the format of the Kubernetes container
// runtime interface: "TIME STREAM F TEXT" a line, P instead of F for a part of
// a line that goes on.
type logFile struct {
	path   string
	output func(Line) // or nil

	mu     sync.Mutex
	file   *os.File
	size   int64
	buffer []byte
	err    error // the first, after which nothing is written
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

// write adds lines, each with its end, and perhaps a part of one without.
func (l *logFile) write(container, stream string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UTC()
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
		if l.output != nil {
			l.output(Line{Container: container, Stream: stream, Time: now, Text: line, Partial: !whole})
		}
	}
	if l.err != nil {
		return // a full disk must not end the container
	}
	if l.size+int64(len(l.buffer)) > maxLogSize {
		l.rotate()
	}
	n, err := l.file.Write(l.buffer)
	l.size += int64(n)
	if err != nil {
		l.err = err
	}
}

// rotate begins a new file and keeps one old one.
func (l *logFile) rotate() {
	if l.err = os.Rename(l.path, l.path+".1"); l.err != nil {
		return
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		l.err = err
		return
	}
	l.file.Close()
	l.file, l.size = f, 0
}

// pump copies what a container writes to one stream until it ends.
func (l *logFile) pump(container, stream string, r io.Reader) {
	var buffer []byte
	used := 0
	for {
		if used == len(buffer) {
			// Small at first: many containers say little.
			buffer = append(buffer, make([]byte, max(1024, len(buffer)))...)
		}
		n, err := r.Read(buffer[used:])
		used += n
		end := bytes.LastIndexByte(buffer[:used], '\n') + 1
		if end == 0 && used >= maxLine {
			end = used
		}
		if end > 0 {
			l.write(container, stream, buffer[:end])
			used = copy(buffer, buffer[end:used])
		}
		if err != nil {
			if used > 0 {
				// The last line has no end; it is whole nevertheless.
				l.write(container, stream, append(buffer[:used], '\n'))
			}
			return
		}
	}
}
