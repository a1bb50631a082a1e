package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

type memberKey struct {
	id   string
	addr netip.AddrPort
}

// member is an endpoint while it is in a pool, and after that for as long as it
// has connections.
//
// Who gets a member from Pool.pick calls connected or failed when it is known
// (neither, when the client went away before), and release at the end.
//
// mu is never held while the pool's is taken.
type member struct {
	key    memberKey
	pool   *Pool
	serial uint32 // unique in the pool
	config atomic.Pointer[memberConfig]

	active   atomic.Int32 // connections
	draining atomic.Bool  // has left the pool

	aside   atomic.Int64 // when it may be probed, on the pool's clock; 0: it is ready
	begun   atomic.Int64 // when its slow start began; 0: it has its full share
	failing atomic.Bool  // has failed since it last connected
	noPort  atomic.Int64 // until when none is thought free for it, on the loops' clock

	down     atomic.Bool  // by checks
	checking atomic.Bool  // one is under way
	checkAt  atomic.Int64 // when the next one is due; 0: at once

	total, failures      atomic.Uint64
	checks, checksFailed atomic.Uint64
	in, out              atomic.Int64
	latency              atomic.Pointer[Histogram] // nil before the first connection

	mu      sync.Mutex
	fails   int           // in a row
	backoff time.Duration // of the last time that it was set aside
	back    int64         // when that was over
	probing bool

	checked    bool  // at least once
	streak     int   // of checks whose result is not what the member counts as
	checkError error // of the last one
}

// memberConfig is what a Set can change of a member.
type memberConfig struct {
	sockets *Sockets
	weight  uint32
	limit   int32 // of connections; 0: none

	header      uint8 // version; 0: none
	transparent bool
}

func (m *member) configure(e Endpoint, limit int) {
	if e.MaxConns != 0 {
		limit = max(e.MaxConns, 0)
	}
	c := memberConfig{
		sockets: e.Sockets,
		weight:  uint32(min(max(e.Weight, 1), maxWeight)),
		limit:   int32(min(limit, 1<<31-1)),

		header:      uint8(min(max(e.Header, 0), 2)),
		transparent: e.Transparent,
	}
	m.config.Store(&c)
}

// addr returns where to connect to.
func (m *member) addr() netip.AddrPort { return m.key.addr }

// sockets returns who makes the sockets that connect to the member; nil: here.
func (m *member) sockets() *Sockets { return m.config.Load().sockets }

func (m *member) full() bool {
	limit := m.config.Load().limit
	return limit > 0 && m.active.Load() >= limit
}

// enter counts one more connection unless the member is full.
func (m *member) enter() bool {
	limit := m.config.Load().limit
	if limit == 0 {
		m.active.Add(1)
		return true
	}
	for {
		n := m.active.Load()
		if n >= limit {
			return false
		}
		if m.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends what pick began: the connection is gone. Its place goes to the
// client that waits longest, if one does.
func (m *member) release() {
	if m.pool.inherit(m) {
		return
	}
	m.active.Add(-1)
	m.pool.capacity()
}

// ready reports whether the member may be chosen: it is not down, and not set
// aside, or for long enough to be probed.
func (m *member) ready(at *instant) bool {
	if m.down.Load() {
		return false
	}
	aside := m.aside.Load()
	return aside == 0 || aside <= at.now()
}

// probe lets one connection through to a member that was set aside for long
// enough; the next one has its turn after as long again, should the outcome of
// this one never be known.
func (m *member) probe(at *instant) bool {
	aside := m.aside.Load()
	if aside == 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if aside > at.now() || !m.aside.CompareAndSwap(aside, at.now()+m.pool.jitter(m.backoff)) {
		return false
	}
	m.probing = true
	return true
}

// connected tells that a connection was made, and how long it took.
func (m *member) connected(took time.Duration) {
	h := m.latency.Load()
	if h == nil {
		m.latency.CompareAndSwap(nil, &Histogram{})
		h = m.latency.Load()
	}
	h.Add(took)
	if m.failing.Load() {
		m.recover()
	}
}

func (m *member) recover() {
	m.mu.Lock()
	m.fails, m.probing = 0, false
	m.failing.Store(false)
	if m.aside.Swap(0) != 0 {
		m.back = m.pool.clock()
		if m.pool.o.SlowStart > 0 {
			m.begun.Store(m.back)
		}
	}
	m.mu.Unlock()
	m.pool.capacity()
}

// failed tells that a connection could not be made.
func (m *member) failed(err error) {
	m.failures.Add(1)
	if m.pool.o.EjectAfter < 0 || local(err) {
		return
	}
	if m.blame() {
		// Those who wait may have to use what is set aside.
		m.pool.capacity()
	}
}

// blame counts a failure, and reports whether it set the member aside. While it
// is aside only the probe counts: others were under way before.
func (m *member) blame() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing.Store(true)
	m.fails++
	if m.aside.Load() != 0 && !m.probing || m.fails < m.pool.o.EjectAfter {
		return false
	}
	m.eject()
	return true
}

// eject sets the member aside: for twice as long as the last time, unless it
// was good for ten times as long since.
func (m *member) eject() {
	o, now := &m.pool.o, m.pool.clock()
	switch {
	case m.backoff == 0, !m.probing && now-m.back > 10*int64(m.backoff):
		m.backoff = o.EjectTime
	default:
		m.backoff = min(2*m.backoff, o.MaxEjectTime)
	}
	m.probing = false
	m.aside.Store(now + m.pool.jitter(m.backoff))
}

// jitter takes up to a half off d.
func (p *Pool) jitter(d time.Duration) int64 {
	half := uint64(d) / 2
	return int64(uint64(d) - p.random()%(half+1))
}

// local reports whether a failure to connect is this side's, so that it says
// nothing about the endpoint: descriptors, memory or local ports have run out.
func local(err error) bool {
	for _, e := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// whole is a slow start that is over.
const whole = 1 << 8

// share returns how much of its weight the member has, of whole.
func (m *member) share(at *instant) uint64 {
	begun := m.begun.Load()
	if begun == 0 {
		return whole
	}
	past, all := at.now()-begun, int64(m.pool.o.SlowStart)
	if past >= all {
		m.begun.CompareAndSwap(begun, 0)
		return whole
	}
	return uint64(max(float64(past)/float64(all), 0.1) * whole)
}

// weight returns what the member may get relative to others.
func (m *member) weight(at *instant) uint64 {
	return uint64(m.config.Load().weight) * m.share(at)
}
