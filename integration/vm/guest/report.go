package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/peapod/peapod/integration/vm/wire"
)

// port is the way to the host.
type port struct {
	mu   sync.Mutex
	file *os.File
}

// report runs the suites and tells the host.
func report(plan *wire.Plan) error {
	file, err := openPort()
	if err != nil {
		return err
	}
	p := &port{file: file}
	for _, s := range plan.Suites {
		p.send(wire.Event{Kind: wire.Begin, Text: s.Name})
		status, err := run(s, p)
		if err != nil {
			p.send(wire.Event{Kind: wire.Trouble, Text: err.Error()})
			status = max(status, 1)
		}
		p.send(wire.Event{Kind: wire.End, Status: status})
	}
	p.send(wire.Event{Kind: wire.Done})
	return nil
}

func openPort() (*os.File, error) {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, file := range names {
		name, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(name)) == wire.Port {
			return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(file)), os.O_WRONLY, 0)
		}
	}
	return nil, fmt.Errorf("no virtual serial port is called %s but %q", wire.Port, names)
}

// send cannot tell anybody of its failure but the console.
func (p *port) send(e wire.Event) {
	line, err := json.Marshal(e)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		_, err = p.file.Write(append(line, '\n'))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab: tell the host:", err)
	}
}

// lines sends what comes from r, until it ends or is closed.
func (p *port) lines(r *os.File) error {
	var rest string
	for b := make([]byte, 32<<10); ; {
		n, err := r.Read(b)
		text := rest + string(b[:n])
		for {
			line, after, whole := strings.Cut(text, "\n")
			if !whole {
				break
			}
			p.send(wire.Event{Kind: wire.Output, Text: line})
			text = after
		}
		if rest = text; err != nil {
			if rest != "" {
				p.send(wire.Event{Kind: wire.Output, Text: rest})
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.New("something that the suite has started still holds its output")
			}
			return nil
		}
	}
}
