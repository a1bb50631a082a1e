package runtime

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// gate is where a created container waits to be started, perhaps by another
// process: a FIFO from which it reads one byte, and another to which it reports
// from then on, since its creator may be gone.
type gate struct {
	start, report *os.File
	after         int // the number of the first step behind it
}

func newGate(dir string) (_ *gate, err error) {
	g := &gate{}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	start, report := filepath.Join(dir, startFIFO), filepath.Join(dir, reportFIFO)
	for _, path := range []string{start, report} {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	// Open for both, so that the process waits instead of reading the end of
	// file while nobody has come to start it.
	if g.start, err = openFIFO(start, unix.O_RDWR); err != nil {
		return nil, err
	}
	// Open for writing only, so that its close tells of the execve. That
	// needs a reader for a moment.
	reader, err := openFIFO(report, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	g.report, err = openFIFO(report, unix.O_WRONLY)
	return g, err
}

// openFIFO opens path as flags say; os.OpenFile would make it non-blocking,
// for the container's process too.
func openFIFO(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (g *gate) close() {
	g.start.Close()
	g.report.Close()
}

// steps appends the waiting. The parent has written the state when it lets the
// process go on. What is returned is where the process reads from afterwards.
func (g *gate) steps(p *program.Program) program.Value {
	start, report := p.File(g.start, startFIFO), p.File(g.report, reportFIFO)
	p.Sync(syncCreated)
	p.Call(unix.SYS_DUP3, report, p.Report(), program.Sym(unix.O_CLOEXEC, "O_CLOEXEC")).For("report to", reportFIFO)
	p.Call(unix.SYS_CLOSE, report)
	p.Call(unix.SYS_READ, start, p.Bytes(make([]byte, 8), "&byte"), program.Int(1)).For("wait for", "the start")
	g.after = p.Len()
	return start
}
