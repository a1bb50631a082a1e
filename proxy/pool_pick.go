package proxy

import (
	"math/bits"
	"net/netip"
)

// triedSet remembers the endpoints that one client has tried, six at most: the
// next one replaces the oldest. nil is an empty set.
type triedSet struct {
	serials [6]uint32
	next    uint8
}

func (t *triedSet) add(m *member) {
	t.serials[t.next] = m.serial
	t.next = (t.next + 1) % uint8(len(t.serials))
}

func (t *triedSet) has(m *member) bool {
	if t == nil {
		return false
	}
	for _, s := range t.serials {
		if s == m.serial {
			return true
		}
	}
	return false
}

// instant is the pool's time, read when somebody first wants to know it: most
// choices do without.
type instant struct {
	pool *Pool
	ns   int64
}

func (t *instant) now() int64 {
	if t.ns == 0 {
		t.ns = t.pool.clock()
	}
	return t.ns
}

// pick chooses an endpoint for a client, other than those in tried, and counts
// the connection on it. What is called on the member then, member says. It
// neither blocks nor allocates. The error is errNoEndpoint or errFull.
func (p *Pool) pick(client netip.Addr, tried *triedSet) (*member, error) {
	s := search{at: instant{pool: p}, pool: p, client: client.Unmap(), tried: tried}
	for {
		// Each time anew: a Set may come in between.
		s.view = p.view.Load()
		m, err := s.find()
		if err != nil {
			return nil, err
		}
		// Another connection may have taken the last place, or the probe.
		if s.take(m) {
			p.sticky.put(s.client, m, &s)
			m.total.Add(1)
			return m, nil
		}
	}
}

// search is one choice.
type search struct {
	at     instant
	pool   *Pool
	view   *view
	client netip.Addr
	tried  *triedSet
	// anyway takes endpoints that are set aside as if they were not.
	anyway bool
	// guest leaves the client's affinity as it is.
	guest bool
}

// take counts the connection on the member, if that is still as it was seen.
func (s *search) take(m *member) bool {
	if !s.anyway && !m.probe(&s.at) || !m.enter() {
		return false
	}
	if m.draining.Load() {
		m.active.Add(-1)
		return false
	}
	return true
}

// fits reports whether the client may have the member.
func (s *search) fits(m *member) bool {
	return !s.tried.has(m) && !m.full() && !m.down.Load() && (s.anyway || m.ready(&s.at))
}

func (s *search) find() (*member, error) {
	s.anyway, s.guest = false, false
	if m := s.choose(); m != nil {
		return m, nil
	}
	full, aside := s.obstacles()
	switch {
	case full:
		return nil, errFull
	case aside:
		s.anyway = true
		if m := s.choose(); m != nil {
			return m, nil
		}
		return nil, errFull
	}
	return nil, errNoEndpoint
}

// obstacles tells why no endpoint fits, of those that the client has not tried:
// some are well but full, some are set aside.
func (s *search) obstacles() (full, aside bool) {
	for _, m := range s.view.members {
		switch {
		case s.tried.has(m), m.down.Load():
		case m.ready(&s.at):
			full = true // or was, a moment ago
		default:
			aside = true
		}
	}
	return full, aside
}

// choose returns a member that fits, or nil.
func (s *search) choose() *member {
	if m := s.pool.sticky.get(s.client, s); m != nil {
		return m
	}
	switch {
	case len(s.view.members) < 2:
		return s.scan(nil, 0)
	case s.pool.o.Policy == RoundRobin:
		return s.roundRobin()
	case s.pool.o.Policy == SourceHash:
		return s.sourceHash()
	}
	return s.twoChoices()
}

// scan returns the first member that fits, of all from the given place on, but
// for one.
func (s *search) scan(not *member, from int) *member {
	list := s.view.members
	for i := range list {
		i += from
		if i >= len(list) {
			i -= len(list)
		}
		if m := list[i]; m != not && s.fits(m) {
			return m
		}
	}
	return nil
}

// twoChoices compares two members by connections for their weight. When both
// are idle the first is taken, so that weights count there too.
func (s *search) twoChoices() *member {
	a := s.draw(nil)
	if a == nil {
		return nil
	}
	b := s.draw(a)
	if b == nil {
		return a
	}
	loadA := uint64(max(a.active.Load(), 0)) * b.weight(&s.at)
	loadB := uint64(max(b.active.Load(), 0)) * a.weight(&s.at)
	if loadB < loadA {
		return b
	}
	return a
}

// maxDraws is how often one is drawn at random before a scan finds one.
const maxDraws = 8

// draw returns a member at random by weight, which is not the given one; nil if
// no other fits.
func (s *search) draw(not *member) *member {
	for range maxDraws {
		r := s.pool.random()
		m := s.view.members[s.view.draw(r)]
		// The lowest bits have no part in the draw.
		if m != not && s.fits(m) && r%whole < m.share(&s.at) {
			return m
		}
	}
	return s.scan(not, s.view.draw(s.pool.random()))
}

// draw makes a random number an index of a member by weight.
func (v *view) draw(r uint64) int {
	if v.sums == nil {
		i, _ := bits.Mul64(r, uint64(len(v.members)))
		return int(i)
	}
	r, _ = bits.Mul64(r, v.sums[len(v.sums)-1])
	low, high := 0, len(v.sums)-1
	for low < high {
		if mid := (low + high) / 2; v.sums[mid] > r {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// roundRobin takes turns without a lock: in each round a member has one place,
// and uses it in as many rounds as its weight is of the largest. (gRPC's static
// stride scheduler does the same.)
func (s *search) roundRobin() *member {
	const unit = 1<<16 - 1
	list := s.view.members
	n := uint64(len(list))
	for range 8*n + 16 {
		turn := s.pool.turn.Add(1) - 1
		i, round := turn%n, turn/n
		m := list[i]
		weight := m.weight(&s.at) * unit / (uint64(s.view.heavy) * whole)
		// The second term lets members rest in different rounds.
		if (weight*round+i*(unit/2))%unit >= unit-weight && s.fits(m) {
			return m
		}
	}
	return s.scan(nil, int(s.pool.turn.Load()%n))
}
