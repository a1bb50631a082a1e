package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/peapod/peapod/integration/internal/results"
)

// runner starts commands the way that is measured: os.StartProcess and Wait,
// /dev/null as standard input and output, and standard error in a file, so
// that no pipe has to be emptied meanwhile.
type runner struct {
	null, stderr *os.File
	env          []string
}

func newRunner(tmp string) (*runner, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	stderr, err := os.CreateTemp(tmp, "stderr-")
	if err != nil {
		null.Close()
		return nil, err
	}
	return &runner{null, stderr, os.Environ()}, nil
}

func (r *runner) close() {
	r.null.Close()
	r.stderr.Close()
}

// start begins a command; what it writes to standard error is in the file.
func (r *runner) start(dir string, args []string) (*os.Process, error) {
	if err := r.stderr.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := r.stderr.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return os.StartProcess(args[0], args, &os.ProcAttr{
		Dir: dir, Env: r.env, Files: []*os.File{r.null, r.null, r.stderr},
	})
}

// wait waits for a command and turns a failure into an error with its stderr.
func (r *runner) wait(p *os.Process, args []string) error {
	state, err := p.Wait()
	if err != nil {
		return fmt.Errorf("wait for %s: %w", args[0], err)
	}
	if state.Success() {
		return nil
	}
	text := make([]byte, 8<<10)
	n, _ := r.stderr.ReadAt(text, 0)
	return fmt.Errorf("%s: %s\n%s", strings.Join(args, " "), state, strings.TrimSpace(string(text[:n])))
}

// time runs a command and returns how long that took, start to end.
func (r *runner) time(dir string, args ...string) (time.Duration, error) {
	begin := time.Now()
	p, err := r.start(dir, args)
	if err != nil {
		return 0, err
	}
	err = r.wait(p, args)
	return time.Since(begin), err
}

// quiet is time for a command whose time does not matter.
func (r *runner) quiet(args ...string) error {
	_, err := r.time("/", args...)
	return err
}

// contender is one row of a table while it is measured.
type contender struct {
	name   string
	share  int // it gets one run where others have share; 0 is 1
	bar    float64
	limit  time.Duration
	once   func(ctx context.Context) (time.Duration, error)
	finish func() error // clears up; may be nil; also called after a failure
}

// measure fills t with the rows of all, which run in turns after one turn each
// to warm up. The first contender of a round changes from round to round.
func measure(ctx context.Context, o *options, t *results.Table, all []*contender) (err error) {
	defer func() {
		for _, c := range all {
			if c.finish != nil {
				err = errors.Join(err, c.finish())
			}
		}
	}()
	for _, c := range all {
		t.Rows = append(t.Rows, results.Row{Name: c.name, Bar: c.bar, Limit: float64(c.limit)})
	}
	for round := -1; round < o.Rounds; round++ {
		for i := range all {
			n := (i + max(round, 0)) % len(all)
			times, err := turn(ctx, all[n], o.Runs)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", t.Title, all[n].name, err)
			}
			if round >= 0 {
				for _, d := range times {
					t.Rows[n].Runs = append(t.Rows[n].Runs, float64(d))
				}
			}
		}
	}
	return nil
}

func turn(ctx context.Context, c *contender, runs int) ([]time.Duration, error) {
	var times []time.Duration
	for range max(1, runs/max(1, c.share)) {
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		d, err := c.once(ctx)
		if err != nil {
			return nil, err
		}
		times = append(times, d)
	}
	return times, nil
}
