package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxInstructions is the kernel's limit of a program (BPF_MAXINSNS).
const maxInstructions = 4096

// Filter is a compiled profile.
type Filter struct {
	// Code is the program.
	Code []unix.SockFilter
	// Flags are those for seccomp(2), with SECCOMP_FILTER_FLAG_NEW_LISTENER
	// where the filter notifies an agent.
	Flags uint32
	// Unknown are the system calls that the profile names and no
	// architecture has; their rules are left out.
	Unknown []string
}

// Compile compiles a profile for a machine whose architecture Go calls goarch.
// It is nil for a profile that says nothing. Errors are *Error.
func Compile(s *specs.LinuxSeccomp, goarch string) (*Filter, error) {
	if s == nil || s.DefaultAction == "" && len(s.Syscalls) == 0 {
		return nil, nil
	}
	p, err := parse(s, goarch)
	if err != nil {
		return nil, err
	}
	code := assemble(p.policies())
	if len(code) > maxInstructions {
		return nil, wrong("syscalls", "the profile needs %d instructions, and the kernel takes %d: make it shorter", len(code), maxInstructions)
	}
	return &Filter{Code: code, Flags: p.flags, Unknown: p.unknown}, nil
}

// Notifies tells whether the filter notifies an agent.
func (f *Filter) Notifies() bool { return f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// assemble writes the program: it looks for the architecture, then for the
// number.
func assemble(list []policy) []unix.SockFilter {
	a := &assembler{code: make([]unix.SockFilter, 0, 512), near: make([]int32, 0, 512)}
	entries := make([]place, len(list))
	for i := range list {
		entries[i] = a.load(offsetNumber, a.policy(&list[i]))
	}
	next := a.ret(retKill)
	for i := len(list) - 1; i >= 0; i-- {
		next = a.branch(unix.BPF_JEQ, list[i].audit, entries[i], next)
	}
	a.load(offsetArch, next)
	slices.Reverse(a.code)
	return a.code
}

// policy writes what decides on the number that was loaded.
func (a *assembler) policy(y *policy) place {
	verdicts := make([]place, 1+len(y.lists))
	returns := make(map[action]place, 4)
	ret := func(v action) place {
		p, ok := returns[v]
		if !ok {
			p = a.ret(v)
			returns[v] = p
		}
		return p
	}
	places := make([]place, len(y.spans))
	for i, s := range y.spans {
		switch v := s.verdict; {
		case v.rules == 0:
			places[i] = ret(v.action)
		case verdicts[v.rules] == 0:
			verdicts[v.rules] = a.rules(y.lists[v.rules-1], y.wide[v.rules-1], ret, v.action)
			fallthrough
		default:
			places[i] = verdicts[v.rules]
		}
	}
	return a.search(y.spans, places)
}

// search writes the binary search for the span of a number.
func (a *assembler) search(spans []span, places []place) place {
	if len(spans) == 1 {
		return places[0]
	}
	mid := len(spans) / 2
	high := a.search(spans[mid:], places[mid:])
	low := a.search(spans[:mid], places[:mid])
	return a.branch(unix.BPF_JGE, spans[mid].from, high, low)
}

// rules writes rules with conditions: the first that holds decides.
func (a *assembler) rules(list []matcher, wide bool, ret func(action) place, otherwise action) place {
	next := ret(otherwise)
	for _, m := range slices.Backward(list) {
		yes := ret(m.action)
		for _, c := range slices.Backward(m.conditions) {
			yes = a.condition(c, wide, yes, next)
		}
		next = yes
	}
	return next
}

// condition writes the comparison of an argument: of its upper half first,
// where that has one and it matters.
func (a *assembler) condition(c condition, wide bool, yes, no place) place {
	switch c.op {
	case notEqual:
		c.op = equal
		return a.condition(c, wide, no, yes)
	case less:
		c.op = greaterOrEqual
		return a.condition(c, wide, no, yes)
	case lessOrEqual:
		c.op = greater
		return a.condition(c, wide, no, yes)
	}
	op := jumpOf(c.op)
	low := a.word(c, 0, op, yes, no)
	if !wide {
		return low
	}
	if c.op == equal {
		return a.word(c, 32, unix.BPF_JEQ, low, no)
	}
	value := uint32(c.value >> 32)
	next := a.branch(unix.BPF_JEQ, value, low, no)
	next = a.branch(unix.BPF_JGT, value, yes, next)
	return a.load(argument(c, 32), next)
}

// jumpOf is the kernel's name of the operators that are left.
func jumpOf(o operator) uint16 {
	switch o {
	case greater:
		return unix.BPF_JGT
	case greaterOrEqual:
		return unix.BPF_JGE
	}
	return unix.BPF_JEQ
}

// word compares the half of an argument that begins at bit shift.
func (a *assembler) word(c condition, shift uint, op uint16, yes, no place) place {
	mask, value := uint32(c.mask>>shift), uint32(c.value>>shift)
	switch {
	case value&^mask != 0: // an equality that never holds
		return no
	case mask == 0:
		return yes
	}
	next := a.branch(op, value, yes, no)
	if next == yes || next == no {
		return next
	}
	if mask != ^uint32(0) {
		next = a.and(mask, next)
	}
	return a.load(argument(c, shift), next)
}

// argument is the offset of that half in struct seccomp_data, on machines with
// the lower one first.
func argument(c condition, shift uint) uint32 {
	return offsetArguments + 8*uint32(c.index) + uint32(shift)/8
}
