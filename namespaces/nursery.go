package namespaces

import "sync"

// Nursery is a thread in new namespaces, where processes are born. Making a
// network namespace takes the kernel most of a millisecond: a caller who has
// something else to do meanwhile saves that.
type Nursery struct {
	work chan func()
	done chan struct{} // closed when the namespaces are made, or cannot be
	err  error
	end  sync.Once
}

// Nursery begins to make new namespaces of the given kinds (network, ipc, uts),
// set up as the options say, and returns at once, unless the options are wrong.
// Close ends it.
func (o Options) Nursery(kinds ...Kind) (*Nursery, error) {
	plan, err := o.plan(kinds)
	if err != nil {
		return nil, fail("make", "namespaces", err)
	}
	n := &Nursery{work: make(chan func()), done: make(chan struct{})}
	go onLastThread(func() {
		n.err = enterNew(kinds, plan)
		close(n.done)
		for f := range n.work {
			f()
		}
	})
	return n, nil
}

// Run runs f on the nursery's thread once the namespaces are made. f should
// start a process and do little else. The thread ends with Close, so that
// processes with Pdeathsig must not be started there.
func (n *Nursery) Run(f func() error) error {
	<-n.done
	if n.err != nil {
		return n.err
	}
	var out outcome
	ran := make(chan struct{})
	n.work <- func() {
		defer close(ran)
		out.call(f)
	}
	<-ran
	return out.result()
}

// Close ends the thread. The namespaces go with it unless a process lives in
// them.
func (n *Nursery) Close() { n.end.Do(func() { close(n.work) }) }
