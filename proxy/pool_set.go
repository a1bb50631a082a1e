package proxy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// maxWeight keeps products with a number of connections within 64 bits.
const maxWeight = 1<<16 - 1

// Set replaces the endpoints at once: no choice sees some of the old and some of
// the new. An endpoint with the ID and Addr of a present one is that one: its
// connections and counters go on, and it stays set aside if it was. Endpoints
// that are not in the new set get no more connections, and keep those that they
// have for PoolOptions.DrainTimeout. Of endpoints with the same ID and Addr the
// first counts.
func (p *Pool) Set(endpoints []Endpoint) {
	p.setting.Lock()
	defer p.setting.Unlock()
	old := p.view.Load()
	next := &view{members: p.members(old, endpoints)}
	next.weigh()
	if p.o.Policy == SourceHash {
		next.table = maglev(next.members)
	}

	p.mu.Lock()
	p.view.Store(next)
	left := p.retire(old, next)
	gifts := p.dispatch()
	watchers := make([]func([]*member), 0, len(p.watchers))
	for f := range p.watchers {
		watchers = append(watchers, *f)
	}
	p.mu.Unlock()

	gifts.deliver()
	if len(left) > 0 {
		for _, f := range watchers {
			f(left)
		}
	}
}

// members finds or makes those of the endpoints, ordered: what is computed from
// them must not depend on the order in which they were given.
func (p *Pool) members(old *view, endpoints []Endpoint) []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	present := make(map[memberKey]*member, len(old.members)+len(p.leaving))
	for _, m := range old.members {
		present[m.key] = m
	}
	for key, m := range p.leaving {
		present[key] = m
	}
	seen := make(map[memberKey]bool, len(endpoints))
	list := make([]*member, 0, len(endpoints))
	for _, e := range endpoints {
		key := memberKey{e.ID, e.Addr}
		if seen[key] {
			continue
		}
		seen[key] = true
		m := present[key]
		if m == nil {
			m = p.newMember(key, len(old.members) > 0)
		}
		m.configure(e, p.o.MaxConns)
		m.draining.Store(false)
		delete(p.leaving, key)
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *member) int {
		return cmp.Or(strings.Compare(a.key.id, b.key.id), a.key.addr.Compare(b.key.addr))
	})
	return list
}

// newMember makes a member, which begins slowly when others can do the work.
func (p *Pool) newMember(key memberKey, slowly bool) *member {
	p.serial++
	m := &member{key: key, pool: p, serial: p.serial}
	if slowly && p.o.SlowStart > 0 {
		m.begun.Store(p.clock())
	}
	return m
}

// retire marks the members that are not in the next view, and returns those
// that still have connections. Who marks looks at the connections afterwards;
// who takes one looks at the mark afterwards; so none is missed.
func (p *Pool) retire(old, next *view) (left []*member) {
	maps.DeleteFunc(p.leaving, func(_ memberKey, m *member) bool { return m.active.Load() == 0 })
	stays := make(map[*member]bool, len(next.members))
	for _, m := range next.members {
		stays[m] = true
	}
	for _, m := range old.members {
		if stays[m] {
			continue
		}
		m.draining.Store(true)
		if m.active.Load() == 0 {
			continue
		}
		if p.leaving == nil {
			p.leaving = map[memberKey]*member{}
		}
		p.leaving[m.key] = m
		left = append(left, m)
	}
	return left
}

// watch has f called, until cancel is, with the members that left the pool by a
// Set and still have connections: these are to be cut when
// PoolOptions.DrainTimeout is over, unless the member is back by then
// (member.draining is false again). f must not call Set.
func (p *Pool) watch(f func(left []*member)) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watchers == nil {
		p.watchers = map[*func([]*member)]struct{}{}
	}
	p.watchers[&f] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watchers, &f)
	}
}

// weigh prepares drawing by weight.
func (v *view) weigh() {
	equal := true
	for _, m := range v.members {
		w := m.config.Load().weight
		equal = equal && w == v.members[0].config.Load().weight
		v.heavy = max(v.heavy, w)
	}
	if equal {
		return
	}
	v.sums = make([]uint64, len(v.members))
	sum := uint64(0)
	for i, m := range v.members {
		sum += uint64(m.config.Load().weight)
		v.sums[i] = sum
	}
}
