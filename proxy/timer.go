package proxy

// timer is an appointment of a session or an acceptor, in nanoseconds of a
// loop's clock. It is part of what it belongs to: setting one allocates nothing.
type timer struct {
	when int64
	pos  int // in the heap, from 1; 0: not set
	s    *session
	a    *acceptor
}

// timers is a binary heap, the earliest first. Appointments are mostly made for
// a time after all others and cancelled soon: both cost little here.
type timers []*timer

// set makes or changes the appointment.
func (h *timers) set(t *timer, when int64) {
	t.when = when
	if t.pos == 0 {
		*h = append(*h, t)
		t.pos = len(*h)
	}
	h.down(t)
	h.up(t)
}

func (h *timers) cancel(t *timer) {
	if t.pos == 0 {
		return
	}
	n := len(*h)
	last := (*h)[n-1]
	(*h)[n-1] = nil
	*h = (*h)[:n-1]
	if last != t {
		h.place(last, t.pos)
		h.down(last)
		h.up(last)
	}
	t.pos = 0
}

func (h timers) place(t *timer, pos int) {
	h[pos-1] = t
	t.pos = pos
}

func (h timers) up(t *timer) {
	for t.pos > 1 {
		parent := h[t.pos/2-1]
		if parent.when <= t.when {
			return
		}
		pos := parent.pos
		h.place(parent, t.pos)
		h.place(t, pos)
	}
}

func (h timers) down(t *timer) {
	for {
		i := 2 * t.pos
		if i > len(h) {
			return
		}
		child := h[i-1]
		if i < len(h) && h[i].when < child.when {
			child = h[i]
		}
		if t.when <= child.when {
			return
		}
		pos := child.pos
		h.place(child, t.pos)
		h.place(t, pos)
	}
}

// due removes and returns the next timer that is not after now, or nil.
func (h *timers) due(now int64) *timer {
	if len(*h) == 0 || (*h)[0].when > now {
		return nil
	}
	t := (*h)[0]
	h.cancel(t)
	return t
}
