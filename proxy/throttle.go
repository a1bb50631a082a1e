package proxy

import (
	"sync"
	"time"
)

// logEvery is how often one sort of failure is logged.
const logEvery = time.Second

// throttle lets one message per logEvery pass and counts the others. It needs
// no timer. The zero value is ready.
type throttle struct {
	mu         sync.Mutex
	last       time.Time
	suppressed int
}

// allow reports whether a message may pass now and how many did not since the
// last one.
func (t *throttle) allow() (suppressed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < logEvery {
		t.suppressed++
		return 0, false
	}
	suppressed, t.suppressed, t.last = t.suppressed, 0, now
	return suppressed, true
}
