package main

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// report is what a soak has seen.
type report struct {
	of       [kinds]atomic.Int64
	up, down atomic.Int64 // bytes of connections that were not reset

	first, last, end usage // after the first connections, after all, after holding
	took             time.Duration
	held             int
	heldFor          time.Duration
	counted          status
	failures         failures
}

func (r *report) count(o order) {
	r.of[o.kind].Add(1)
	if o.kind != clientReset && o.kind != serverReset {
		r.up.Add(int64(o.up))
		r.down.Add(int64(o.down))
	}
}

func (r *report) total() (n int64) {
	for i := range r.of {
		n += r.of[i].Load()
	}
	return n
}

// The proxy keeps a few pipes, sockets and buffers for the next connections.
const (
	moreDescriptors = 40
	moreMemory      = 16 << 20
)

// check compares with what the proxy says and has.
func (r *report) check(p *process) error {
	var errs []error
	var err error
	if r.counted, err = p.status(); err != nil {
		return err
	}
	c := r.counted.Services[0].Connections
	if int64(c.Accepted) != r.total() || c.Active != 0 {
		errs = append(errs, fmt.Errorf("the proxy counted %+v of %d connections", c, r.total()))
	}
	if reset := r.of[clientReset].Load() + r.of[serverReset].Load(); int64(c.Failed) > reset {
		errs = append(errs, fmt.Errorf("%d connections failed, of which %d were reset", c.Failed, reset))
	}
	for _, b := range r.counted.Services[0].Backends {
		if b.Failed > 0 {
			errs = append(errs, fmt.Errorf("%d connections to a backend could not be made", b.Failed))
		}
	}
	if r.end.descriptors > r.first.descriptors+moreDescriptors {
		errs = append(errs, fmt.Errorf("it had %d descriptors, then %d", r.first.descriptors, r.end.descriptors))
	}
	if r.last.anonymous > r.first.anonymous+moreMemory {
		errs = append(errs, fmt.Errorf("it had %d bytes of memory, then %d", r.first.anonymous, r.last.anonymous))
	}
	return errors.Join(errs...)
}

func (r *report) print(w io.Writer) {
	total := r.total()
	fmt.Fprintf(w, "%d connections in %v, %.0f a second\n", total, r.took.Round(time.Second), float64(total)/r.took.Seconds())
	for k := range kinds {
		fmt.Fprintf(w, "  %d %s\n", r.of[k].Load(), k)
	}
	fmt.Fprintf(w, "%.2f GB from clients, %.2f GB to them, by their sums as they were sent\n", float64(r.up.Load())/1e9, float64(r.down.Load())/1e9)
	fmt.Fprintf(w, "%d connections at once, made and used in %v\n", r.held, r.heldFor.Round(10*time.Millisecond))
	if len(r.counted.Services) > 0 {
		fmt.Fprintf(w, "the proxy counted: %+v, %+v\n", r.counted.Services[0].Connections, r.counted.Services[0].Bytes)
	}
	r.failures.print(w)
	for _, u := range []struct {
		when string
		usage
	}{{"the first thousand", r.first}, {"all", r.last}, {"those at once", r.end}} {
		fmt.Fprintf(w, "the proxy after %-19s %4d descriptors, %2d threads, %6.2f MiB of memory, %v of processor time\n",
			u.when+":", u.descriptors, u.threads, float64(u.anonymous)/(1<<20), u.cpu)
	}
}
