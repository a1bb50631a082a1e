package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/peapod/peapod/integration/vm/wire"
)

// watch follows a machine.
type watch struct {
	lab     *lab
	machine machine
	console tail
	log     *os.File // all of it
	done    []result
	left    []suite // in the machine's order
	current *result
	over    bool
	begun   time.Time
}

func newWatch(l *lab, m machine, list []suite) *watch {
	return &watch{lab: l, machine: m, left: list, begun: time.Now()}
}

// watch runs a machine to its end, and says why it ended other than it should.
func (w *watch) watch(ctx context.Context, s *start) error {
	log, err := os.Create(filepath.Join(w.lab.cache.dir, w.machine.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	w.log = log
	r, events, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := s.command(ctx, events)
	ended, err := w.start(cmd)
	events.Close()
	if err != nil {
		return err
	}
	w.begun = time.Now()
	w.follow(r)
	return w.why(ctx, ended())
}

// start starts qemu, whose output is the kernel's console.
func (w *watch) start(cmd *exec.Cmd) (wait func() error, err error) {
	console, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var read sync.WaitGroup
	read.Go(func() {
		for lines := bufio.NewScanner(console); lines.Scan(); {
			w.console.add(lines.Text())
			if w.lab.verbose {
				w.lab.say(w.machine, lines.Text())
			}
		}
		io.Copy(io.Discard, console) // a line that is too long
	})
	return func() error {
		read.Wait()
		return cmd.Wait()
	}, nil
}

// follow reads the events until there are no more.
func (w *watch) follow(r io.Reader) {
	for decoder := json.NewDecoder(r); ; {
		var e wire.Event
		if err := decoder.Decode(&e); err != nil {
			if !errors.Is(err, io.EOF) {
				w.lab.say(w.machine, "events: "+err.Error())
			}
			io.Copy(io.Discard, r)
			return
		}
		w.event(e)
	}
}

func (w *watch) event(e wire.Event) {
	switch e.Kind {
	case wire.Begin:
		w.lab.say(w.machine, "== "+e.Text)
		w.current = &result{machine: w.machine.name, suite: e.Text, begun: time.Now()}
		w.left = w.left[min(1, len(w.left)):]
	case wire.Trouble:
		w.trouble(e.Text)
	case wire.Output:
		w.output(e.Text)
	case wire.End:
		w.end(e.Status)
	case wire.Done:
		w.over = true
	}
}

func (w *watch) trouble(text string) {
	w.lab.say(w.machine, text)
	if w.current != nil {
		w.current.trouble = text
	}
}

func (w *watch) output(line string) {
	fmt.Fprintln(w.log, line)
	if w.current != nil {
		w.current.line(line)
	}
	if w.lab.verbose {
		w.lab.say(w.machine, line)
	}
}

// end closes a suite; of one that failed all output is shown.
func (w *watch) end(status int) {
	r := w.current
	if r == nil {
		return
	}
	r.finish(status)
	if !r.ok() && !w.lab.verbose {
		w.lab.say(w.machine, r.complaint())
	}
	w.done, w.current = append(w.done, *r), nil
}

// why gives the reason for which a machine ended before its plan did.
func (w *watch) why(ctx context.Context, err error) error {
	last := "\nthe kernel's last lines:\n  " + strings.Join(w.console.lines, "\n  ")
	switch {
	case w.console.panicked != "":
		return fmt.Errorf("%s%s", w.console.panicked, last)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not done after %s (-timeout)%s", w.lab.timeout, last)
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return fmt.Errorf("%w%s", err, last)
	case !w.over:
		return fmt.Errorf("the machine ended by itself%s", last)
	}
	return nil
}

// results are those of all suites. What a machine that failed has not run has
// failed too.
func (w *watch) results(err error) []result {
	if err == nil {
		return w.done
	}
	w.lab.say(w.machine, "FAIL: "+err.Error())
	if w.current != nil {
		w.current.trouble = "was under way when the machine failed"
		w.end(1)
	}
	for _, s := range w.left {
		w.done = append(w.done, result{machine: w.machine.name, suite: s.name(), trouble: "not run: the machine failed before"})
	}
	if len(w.done) == 0 {
		w.done = []result{{machine: w.machine.name, trouble: "the machine failed"}}
	}
	return w.done
}

// tail is the end of the console, and the line that tells of a panic.
type tail struct {
	lines    []string
	panicked string
}

func (t *tail) add(line string) {
	if i := strings.Index(line, "Kernel panic"); i >= 0 && t.panicked == "" {
		t.panicked = line[i:]
	}
	if t.lines = append(t.lines, line); len(t.lines) > 40 {
		t.lines = t.lines[1:]
	}
}
