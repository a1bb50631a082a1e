package proxy

import (
	"net/netip"
	"time"
)

// waiter is a client that waits for an endpoint.
type waiter struct {
	pool       *Pool
	client     netip.Addr
	tried      *triedSet
	give       func(*member)
	prev, next *waiter
	queued     bool
}

// queue is first come first served, but for those whom what is there is no use.
type queue struct{ first, last *waiter }

func (q *queue) push(w *waiter) {
	w.prev, w.queued = q.last, true
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
}

// wait queues a client for whom pick found nothing. give is called once, with a
// member as pick returns it, from any goroutine and with no lock held, unless
// cancel is called before. If an endpoint is there after all, it is returned at
// once instead of a waiter. The error is errQueueFull. tried must not change
// until the end of the wait. How long a client may wait is for the caller to
// watch.
func (p *Pool) wait(client netip.Addr, tried *triedSet, give func(*member)) (*waiter, *member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(p.waiting.Load()) >= p.o.Queue {
		return nil, nil, errQueueFull
	}
	// Counted first: who gives something back now, after it is visible, looks
	// whether anybody waits.
	p.waiting.Add(1)
	if m, err := p.pick(client, tried); err == nil {
		p.waiting.Add(-1)
		return nil, m, nil
	}
	w := &waiter{pool: p, client: client, tried: tried, give: give}
	p.queue.push(w)
	p.arm()
	return w, nil, nil
}

// cancel ends the wait, and reports false if give was called or is about to be.
func (w *waiter) cancel() bool {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.queued {
		return false
	}
	p.dequeue(w)
	return true
}

func (p *Pool) dequeue(w *waiter) {
	p.queue.remove(w)
	p.waiting.Add(-1)
}

// gift is a member for one who waited.
type gift struct {
	to *waiter
	m  *member
}

type gifts []gift

// deliver is called without the pool's lock.
func (g gifts) deliver() {
	for _, x := range g {
		x.to.give(x.m)
	}
}

// capacity is called when an endpoint may have become free.
func (p *Pool) capacity() {
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	g := p.dispatch()
	p.mu.Unlock()
	g.deliver()
}

// dispatch serves those who wait with what there is.
func (p *Pool) dispatch() gifts {
	var g gifts
	for w := p.queue.first; w != nil; {
		next := w.next
		if m, err := p.pick(w.client, w.tried); err == nil {
			p.dequeue(w)
			g = append(g, gift{w, m})
		} else if w.tried == nil {
			break // no more for anybody
		}
		w = next
	}
	p.arm()
	return g
}

// inherit hands a connection's place on a member to the first who waits and may
// have it: nobody who came later can take it in between.
func (p *Pool) inherit(m *member) bool {
	if p.waiting.Load() == 0 {
		return false
	}
	w := p.heir(m)
	if w == nil {
		return false
	}
	w.give(m)
	return true
}

func (p *Pool) heir(m *member) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := m.config.Load().limit
	if m.draining.Load() || m.down.Load() || m.aside.Load() != 0 || limit > 0 && m.active.Load() > limit {
		return nil
	}
	for w := p.queue.first; w != nil; w = w.next {
		if !w.tried.has(m) {
			p.dequeue(w)
			m.total.Add(1)
			return w
		}
	}
	return nil
}

// arm sets a timer for the moment when the next endpoint that is set aside may
// be probed, if somebody waits.
func (p *Pool) arm() {
	next := int64(0)
	if p.queue.first != nil {
		now := p.clock()
		for _, m := range p.view.Load().members {
			if t := m.aside.Load(); t > now && (next == 0 || t < next) {
				next = t
			}
		}
		next -= min(next, now)
	}
	switch {
	case next == 0 && p.timer != nil:
		p.timer.Stop()
	case next == 0:
	case p.timer == nil:
		p.timer = time.AfterFunc(time.Duration(next), p.capacity)
	default:
		p.timer.Reset(time.Duration(next))
	}
}
