package seccomp

import (
	"math"
	"slices"
)

// span is a range of system call numbers with the same verdict, up to the next
// one's.
type span struct {
	from    uint32
	verdict verdict
}

// verdict is an action, or the rules with conditions that decide. Those that
// are the same compare equal.
type verdict struct {
	action action
	rules  int // 1 and the index of a list, or 0
}

// policy says what to do with each number of an audit architecture; x32 is a
// part of that of amd64.
type policy struct {
	audit uint32
	spans []span // sorted, the first from 0
	wide  []bool // whether a list of rules is for arguments of 64 bits
	lists [][]matcher
}

// matcher is a rule for one system call.
type matcher struct {
	conditions []condition
	action     action
}

// policies resolves the rules for each audit architecture.
func (p *profile) policies() (list []policy) {
	native := policy{audit: abouts[p.archs[0]].audit, spans: make([]span, 0, 192)}
	native.resolve(p, p.archs[0])
	if p.archs[0] == amd64 {
		if slices.Contains(p.archs, x32) {
			native.resolve(p, x32)
		} else {
			native.add(x32Bit, verdict{action: retKill})
			native.add(math.MaxUint32, p.beyond(amd64)) // -1 is nobody's
		}
	}
	list = append(list, native)
	for _, a := range p.archs[1:] {
		if a != x32 {
			other := policy{audit: abouts[a].audit, spans: make([]span, 0, 96)}
			other.resolve(p, a)
			list = append(list, other)
		}
	}
	return list
}

// newest is the highest number that the profile names on a, apart from those
// that are not given to new calls; ok is false when it names none. Like runc, it
// counts 0 as none.
func (p *profile) newest(a arch) (nr uint32, ok bool) {
	about := &abouts[a]
	nr = about.base
	for _, call := range p.named {
		if n := call.number[a]; n != none && (about.end == 0 || uint32(n) < about.own) {
			nr = max(nr, uint32(n))
		}
		if a == x86 && call.mux != 0 {
			nr = max(nr, uint32(multiplexer(call.mux)))
		}
	}
	return nr, nr > about.base
}

// beyond is the verdict on numbers above all that a profile names.
func (p *profile) beyond(a arch) verdict {
	if _, ok := p.newest(a); ok && !p.otherwise.permissive() {
		return verdict{action: retENOSYS}
	}
	return verdict{action: p.otherwise}
}

// resolve adds the spans of an architecture, from its base to the end of all
// numbers, or to x32.
func (y *policy) resolve(p *profile, a arch) {
	about := &abouts[a]
	newest, _ := p.newest(a)
	otherwise, beyond := verdict{action: p.otherwise}, p.beyond(a)
	// fallback is the verdict on a number without a rule, and up to before
	// which that is the same.
	fallback := func(nr uint64) (verdict, uint64) {
		own, end := uint64(about.own), uint64(about.end)
		switch {
		case nr <= uint64(newest):
			return otherwise, uint64(newest) + 1
		case nr < own:
			return beyond, own
		case nr < end:
			return otherwise, end
		}
		return beyond, numbers
	}
	next := uint64(about.base)
	fill := func(to uint64) { // up to before to
		for next < to {
			v, end := fallback(next)
			y.add(uint32(next), v)
			next = min(end, to)
		}
	}
	bound := p.bind(a)
	for i := 0; i < len(bound); {
		nr, j := bound[i].number(), i
		for j < len(bound) && bound[j].number() == nr {
			j++
		}
		fill(uint64(nr))
		y.add(nr, y.decide(p, a, bound[i:j]))
		next, i = uint64(nr)+1, j
	}
	fill(numbers)
}

const numbers = 1 << 32 // that a system call can have

// add begins a span, unless its verdict is that of the one before.
func (y *policy) add(from uint32, v verdict) {
	if n := len(y.spans); n > 0 && y.spans[n-1].verdict == v {
		return
	} else if n > 0 && y.spans[n-1].from == from {
		y.spans[n-1].verdict = v
		return
	}
	y.spans = append(y.spans, span{from, v})
}

// binding is a system call number, the index of a rule for it, and what makes
// it on x86 by another call: sorted, they are in the order of the rules.
type binding uint64

func bind(nr int32, rule int, mux uint8) binding {
	return binding(uint64(uint32(nr))<<32 | uint64(rule)<<8 | uint64(mux))
}

func (b binding) number() uint32 { return uint32(b >> 32) }
func (b binding) rule() int      { return int(b >> 8 & 0xffffff) }
func (b binding) mux() uint8     { return uint8(b) }

// bind looks the numbers of all rules up.
func (p *profile) bind(a arch) []binding {
	list := make([]binding, 0, len(p.named)+8)
	for i := range p.rules {
		for _, call := range p.rules[i].calls {
			if nr := call.number[a]; nr != none {
				list = append(list, bind(nr, i, 0))
			}
			if a == x86 && call.mux != 0 {
				list = append(list, bind(multiplexer(call.mux), i, call.mux))
			}
		}
	}
	slices.Sort(list)
	return list
}

// decide is the verdict of the rules that are bound to a number.
func (y *policy) decide(p *profile, a arch, bound []binding) verdict {
	var list []matcher
	for _, b := range bound {
		r := &p.rules[b.rule()]
		if len(r.conditions) == 0 && b.mux() == 0 {
			return verdict{action: r.action}
		}
	}
	for _, b := range bound {
		r := &p.rules[b.rule()]
		list = append(list, matcher{y.conditions(r.conditions, abouts[a].wide, b.mux()), r.action})
	}
	same := func(known []matcher) bool {
		return slices.EqualFunc(known, list, func(a, b matcher) bool {
			return a.action == b.action && slices.Equal(a.conditions, b.conditions)
		})
	}
	for i, known := range y.lists {
		if y.wide[i] == abouts[a].wide && same(known) {
			return verdict{p.otherwise, 1 + i}
		}
	}
	y.lists, y.wide = append(y.lists, list), append(y.wide, abouts[a].wide)
	return verdict{p.otherwise, len(y.lists)}
}

// conditions are those of a rule where arguments have 64 bits or 32, and where
// the call is made by socketcall(2) or ipc(2).
func (y *policy) conditions(list []condition, wide bool, mux uint8) (c []condition) {
	if mux != 0 {
		c = append(c, selects(mux))
	}
	for _, one := range list {
		if mux != 0 && one.index == 0 {
			continue
		}
		if !wide {
			one = one.narrow()
		}
		c = append(c, one)
	}
	return c
}

// multiplexer is the number of the call that makes mux.
func multiplexer(mux uint8) int32 {
	if mux > 200 {
		return 117 // ipc
	}
	return 102 // socketcall
}

// selects is the condition that mux is what is made. The upper half of the word
// in ipc(2) is a version.
func selects(mux uint8) condition {
	if mux > 200 {
		return condition{0, equal, math.MaxUint16, uint64(mux - 200)}
	}
	return condition{0, equal, math.MaxUint32, uint64(mux - 100)}
}
