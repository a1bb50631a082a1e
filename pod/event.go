package pod

import "time"

// Event is the end of a container, or a failed attempt to start it again.
type Event struct {
	Pod       string
	Container string
	// Terminated says how it ended; its Reason is ContainerCannotRun, and its
	// Message tells why, where it could not be started.
	Terminated StateTerminated
	// Again tells that it starts again, After from now; otherwise it has
	// ended for good.
	Again bool
	After time.Duration
	// Stopping tells that the pod is being stopped, which ends containers.
	Stopping bool
}

// event tells Options.Event what became of the container. All that it wrote
// has been given to Options.Output before, unless that does not return.
func (w *worker) event(last *StateTerminated, again bool) {
	if w.s.options.Event == nil {
		return
	}
	e := Event{Pod: w.s.place.name, Container: w.name(), Terminated: *last, Again: again, Stopping: w.s.stopping.Err() != nil}
	if again {
		e.After = w.backOff
	}
	w.s.telling.Lock()
	defer w.s.telling.Unlock()
	w.s.options.Event(e)
}
