package proxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Policy says how a pool chooses among its endpoints.
type Policy uint8

const (
	// Random draws two endpoints by weight and takes the one with fewer
	// connections for its weight: nearly as even as looking at all of them,
	// and not led astray, as the strict minimum is, when many connections
	// arrive between two looks.
	Random Policy = iota
	// RoundRobin takes one endpoint after the other, by weight.
	RoundRobin
	// SourceHash gives a client, by its address, the same endpoint each time
	// (Maglev consistent hashing, weighted). When endpoints come and go, few
	// other clients change theirs. An endpoint that is full or set aside
	// lends its clients to the others meanwhile.
	SourceHash
)

func (p Policy) String() string {
	switch p {
	case Random:
		return "random"
	case RoundRobin:
		return "round robin"
	case SourceHash:
		return "source hash"
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// Endpoint is one place that connections can go to.
type Endpoint struct {
	// ID names the endpoint among those of its pool. An endpoint with the
	// same ID and Addr in the next Set is the same one.
	ID string
	// Addr is where it listens.
	Addr netip.AddrPort
	// Sockets makes the sockets that connect to it. nil: here.
	Sockets *Sockets
	// Weight is its share of the connections relative to the others', from 1
	// to 65535. 0: 1.
	Weight int
	// MaxConns bounds its connections. 0: PoolOptions.MaxConns; negative: no
	// bound.
	MaxConns int
	// Header tells the endpoint who the client is: each TCP connection begins
	// with a [Header] in this version, 1 or 2, of the PROXY protocol. 0: none.
	Header int
	// Transparent makes TCP connections from the client's address (the port
	// is another one). [CheckTransparent] tells what it takes.
	Transparent bool
}

// PoolOptions configure a pool. The zero value balances by Random, sets
// endpoints aside after one failure, and has no bounds.
type PoolOptions struct {
	// Policy is how endpoints are chosen.
	Policy Policy

	// Affinity sends a client, by its address, to the endpoint that it had
	// last, if that is no longer ago than this. 0: no affinity. The pool
	// remembers 16,384 clients and forgets those first that were away for
	// longest, approximately.
	Affinity time.Duration

	// SlowStart is how long an endpoint that was added or that was set aside
	// takes to get its full share, which grows evenly from a tenth. SourceHash
	// does not heed it: it would move clients. 0: at once.
	SlowStart time.Duration

	// MaxConns bounds the connections of each endpoint that does not say
	// otherwise. 0: no bound.
	MaxConns int
	// Queue is how many clients may wait, first come first served, when all
	// endpoints are full or none is there. 0: they are turned away.
	Queue int
	// QueueTimeout is how long a client waits at most. 0: 10 s.
	QueueTimeout time.Duration

	// EjectAfter is how many failures to connect in a row set an endpoint
	// aside. 0: one. Negative: none does. When all endpoints are set aside
	// they are used as if none was.
	EjectAfter int
	// EjectTime is for how long an endpoint is set aside the first time;
	// then one connection tries it. Each time in a row doubles it, up to
	// MaxEjectTime; each single time is shortened by up to a half at random,
	// so that many proxies do not try at once. 0: 100 ms.
	EjectTime time.Duration
	// MaxEjectTime is the longest. 0: 30 s.
	MaxEjectTime time.Duration

	// DrainTimeout is how long the connections of an endpoint that left the
	// pool may go on. 0: until they end.
	DrainTimeout time.Duration
}

const (
	defaultQueueTimeout = 10 * time.Second
	defaultEjectTime    = 100 * time.Millisecond
	defaultMaxEjectTime = 30 * time.Second
)

var (
	// errNoEndpoint: the pool has none, or the client has tried them all.
	errNoEndpoint = errors.New("no endpoint")
	// errFull: all endpoints have as many connections as they may have.
	errFull = errors.New("all endpoints are full")
	// errQueueFull: as many wait already as may.
	errQueueFull = errors.New("the queue is full")
)

// Pool is a changing set of endpoints and a policy that chooses among them. It
// may serve any number of listeners, and be changed while it does. Methods may
// be called from several goroutines.
type Pool struct {
	o       PoolOptions
	start   time.Time     // of the pool's clock
	random  func() uint64 // tests replace it
	view    atomic.Pointer[view]
	turn    atomic.Uint64 // of round robin
	waiting atomic.Int32  // length of queue
	turned  [4]atomic.Uint64
	sticky  *affinity // nil without Affinity

	setting sync.Mutex // held by Set; taken before mu

	mu       sync.Mutex
	serial   uint32
	leaving  map[memberKey]*member // no longer in view; those without connections go with the next Set
	queue    queue
	timer    *time.Timer // tries the queue again when an endpoint may be probed
	watchers map[*func([]*member)]struct{}
}

// view is what a choice is made from: it never changes.
type view struct {
	members []*member
	// sums are the members' weights, each with all before it. nil: all have
	// the same weight.
	sums  []uint64
	heavy uint32   // the largest weight
	table []uint16 // Maglev's: a slot's index in members
}

// NewPool makes a pool without endpoints.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{o: o.withDefaults(), start: time.Now(), random: rand.Uint64}
	p.view.Store(&view{})
	if o.Affinity > 0 {
		p.sticky = &affinity{lifetime: int64(o.Affinity)}
	}
	return p
}

func (o PoolOptions) withDefaults() PoolOptions {
	if o.QueueTimeout == 0 {
		o.QueueTimeout = defaultQueueTimeout
	}
	if o.EjectAfter == 0 {
		o.EjectAfter = 1
	}
	if o.EjectTime == 0 {
		o.EjectTime = defaultEjectTime
	}
	if o.MaxEjectTime == 0 {
		o.MaxEjectTime = max(defaultMaxEjectTime, o.EjectTime)
	}
	return o
}

// Validate checks the options that the pool was made with. A proxy calls it
// before it listens.
func (p *Pool) Validate() error {
	o := p.o
	if o.Policy > SourceHash {
		return fmt.Errorf("pool: Policy: %v is not known", o.Policy)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"Affinity", o.Affinity}, {"SlowStart", o.SlowStart}, {"QueueTimeout", o.QueueTimeout},
		{"EjectTime", o.EjectTime}, {"MaxEjectTime", o.MaxEjectTime}, {"DrainTimeout", o.DrainTimeout},
	} {
		if d.value < 0 {
			return fmt.Errorf("pool: %s: %v is negative", d.field, d.value)
		}
	}
	switch {
	case o.MaxConns < 0:
		return fmt.Errorf("pool: MaxConns: %d is negative", o.MaxConns)
	case o.Queue < 0:
		return fmt.Errorf("pool: Queue: %d is negative", o.Queue)
	case o.EjectTime > o.MaxEjectTime:
		return fmt.Errorf("pool: EjectTime: %v is more than MaxEjectTime, %v", o.EjectTime, o.MaxEjectTime)
	}
	return nil
}

// clock returns the time since the pool was made, and never 0, which stands for
// no time at all.
func (p *Pool) clock() int64 { return int64(time.Since(p.start)) + 1 }
