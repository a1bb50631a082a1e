package proxy

import (
	"net/netip"
	"sync"
)

// affinity remembers which member a client had last. It is a cache of sets of
// eight entries that grows until it is full; then a new client takes the place
// of that one of its set which was away for longest. nil remembers nothing.
type affinity struct {
	lifetime int64

	mu   sync.Mutex
	sets []affinitySet // a power of two of them
}

const (
	affinityWays = 8
	// maxAffinity bounds the clients that are remembered, in 640 KiB.
	maxAffinity = 1 << 14
)

type affinitySet [affinityWays]affinityEntry

type affinityEntry struct {
	client netip.Addr
	member *member
	until  int64 // 0: free
}

// get returns the client's member if the client may have it.
func (a *affinity) get(client netip.Addr, s *search) *member {
	if a == nil || !client.IsValid() {
		return nil
	}
	m := a.lookup(client, s.at.now())
	switch {
	case m == nil, m.draining.Load(), s.tried.has(m):
		return nil
	case m.down.Load(), !s.anyway && !m.ready(&s.at):
		return nil
	case m.full():
		// It has one connection elsewhere, and comes back.
		s.guest = true
		return nil
	}
	return m
}

func (a *affinity) lookup(client netip.Addr, now int64) *member {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sets) == 0 {
		return nil
	}
	set := a.set(client)
	for i := range set {
		if e := &set[i]; e.client == client && e.until > now {
			return e.member
		}
	}
	return nil
}

// put remembers the client's member from now on.
func (a *affinity) put(client netip.Addr, m *member, s *search) {
	if a == nil || s.guest || !client.IsValid() {
		return
	}
	now := s.at.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sets == nil {
		a.sets = make([]affinitySet, 1)
	}
	e := a.set(client).place(client, now)
	for e.until > now && e.client != client && len(a.sets)*affinityWays < maxAffinity {
		a.grow(now)
		e = a.set(client).place(client, now)
	}
	*e = affinityEntry{client, m, now + a.lifetime}
}

func (a *affinity) set(client netip.Addr) *affinitySet {
	return &a.sets[hashAddr(client)&uint64(len(a.sets)-1)]
}

// place returns the client's entry, or else a free one, or else the one that
// ends first.
func (s *affinitySet) place(client netip.Addr, now int64) *affinityEntry {
	best := &s[0]
	for i := range s {
		e := &s[i]
		if e.client == client {
			return e
		}
		if e.until <= now {
			e.until = 0
		}
		if e.until < best.until {
			best = e
		}
	}
	return best
}

// grow doubles the table: the entries of a set go to two.
func (a *affinity) grow(now int64) {
	old := a.sets
	a.sets = make([]affinitySet, 2*len(old))
	for i := range old {
		for _, e := range old[i] {
			if e.until > now {
				*a.set(e.client).place(e.client, now) = e
			}
		}
	}
}
