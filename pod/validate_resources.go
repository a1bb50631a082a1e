package pod

import "strings"

// maxCPU is in thousandths of a CPU. It keeps quotas and shares from
// overflowing, and finds amounts of memory in the wrong place.
const maxCPU = 1_000_000_000

func (ps *problems) resources(at string, r Resources) {
	limits, requests := at+".limits", at+".requests"
	if ps.memory(limits+".memory", r.Limits.Memory) {
		if q := r.Limits.Memory; q.Value() < MinMemory {
			ps.addf(limits+".memory", "memory %q is too little to start a process in; use 4Mi at least", q)
		} else if request := r.Requests.Memory; request.Value() > q.Value() {
			ps.addf(requests+".memory", "the request %q is more than the limit %q", request, q)
		}
	}
	if ps.cpu(limits+".cpu", r.Limits.CPU) {
		if q := r.Limits.CPU; q.MilliValue() == 0 {
			ps.addf(limits+".cpu", "cpu %q would leave nothing to run with; leave the limit out for no limit", q)
		} else if request := r.Requests.CPU; request.MilliValue() > q.MilliValue() {
			ps.addf(requests+".cpu", "the request %q is more than the limit %q", request, q)
		}
	}
	// A request that the spec did not give is the limit; one complaint is enough.
	if r.Requests.Memory != r.Limits.Memory {
		ps.memory(requests+".memory", r.Requests.Memory)
	}
	if r.Requests.CPU != r.Limits.CPU {
		ps.cpu(requests+".cpu", r.Requests.CPU)
	}
}

// memory checks an amount of bytes and reports whether there is a sound one.
func (ps *problems) memory(at string, q Quantity) bool {
	n, exact := q.scaled(0)
	switch {
	case q.IsZero():
	case exact:
		return true
	case strings.HasSuffix(q.text, "m") && n < MinMemory:
		number := strings.TrimSuffix(q.text, "m")
		ps.addf(at, "memory %q: m stands for thousandths of a byte; did you mean %sM or %sMi?", q, number, number)
	default:
		ps.addf(at, "memory %q is not a whole number of bytes below 8Ei", q)
	}
	return false
}

// cpu checks an amount of CPU and reports whether there is a sound one.
func (ps *problems) cpu(at string, q Quantity) bool {
	n, exact := q.scaled(3)
	switch {
	case q.IsZero():
	case n > maxCPU:
		ps.addf(at, "cpu %q is more than a million CPUs; 500m is half of one", q)
	case !exact:
		ps.addf(at, "cpu %q is finer than 1m, a thousandth of a CPU", q)
	default:
		return true
	}
	return false
}
