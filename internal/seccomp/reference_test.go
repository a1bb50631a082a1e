package seccomp

import (
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// reference says what a filter of the profile has to return, by looking at
// each rule as the documentation has it: slow, and with nothing of the
// compiler's but the table and the reading of single actions.
func reference(s *specs.LinuxSeccomp, goarch string, d *Data) action {
	a, ok := referenceArch(s, goarch, d)
	if !ok {
		return retKill
	}
	otherwise, err := parseAction(s.DefaultAction, s.DefaultErrnoRet, "", "")
	if err != nil {
		panic(err)
	}
	var newest int64
	var conditional *action
	for i := range s.Syscalls {
		rule := &s.Syscalls[i]
		act, err := parseAction(rule.Action, rule.ErrnoRet, "", "")
		if err != nil {
			panic(err)
		}
		for _, name := range rule.Names {
			call := referenceCalls[name]
			if call == nil {
				continue
			}
			nr := int64(call.number[a])
			if nr != none && !referenceOwn(a, nr) && nr&^x32Bit != 0 {
				newest = max(newest, nr)
			}
			if a == x86 && call.mux > 200 {
				newest = max(newest, 117) // the rule is for ipc, too
			} else if a == x86 && call.mux > 100 {
				newest = max(newest, 102)
			}
			if act == otherwise {
				continue
			}
			direct := nr != none && uint32(nr) == d.Number
			mux := a == x86 && referenceMux(call, d)
			if direct && len(rule.Args) == 0 {
				return act // the first without conditions
			}
			if conditional == nil && (direct && referenceHolds(rule.Args, a, d, false) || mux && referenceHolds(rule.Args, a, d, true)) {
				conditional = &act
			}
		}
	}
	// One without conditions behind it would have returned.
	switch {
	case conditional != nil:
		return *conditional
	case otherwise == unix.SECCOMP_RET_ALLOW || otherwise == unix.SECCOMP_RET_LOG || otherwise&actionMask == unix.SECCOMP_RET_TRACE:
		return otherwise
	case newest != 0 && int64(d.Number) > newest && !referenceOwn(a, int64(d.Number)):
		return unix.SECCOMP_RET_ERRNO | action(unix.ENOSYS)
	}
	return otherwise
}

// referenceArch is the architecture of a call, if the profile has it.
func referenceArch(s *specs.LinuxSeccomp, goarch string, d *Data) (arch, bool) {
	has := func(name specs.Arch) bool { return slices.Contains(s.Architectures, name) }
	switch {
	case goarch == "amd64" && d.Audit == unix.AUDIT_ARCH_X86_64 && d.Number < x32Bit: // as libseccomp: what is above is of x32
		return amd64, true
	case goarch == "amd64" && d.Audit == unix.AUDIT_ARCH_X86_64 && has(specs.ArchX32):
		return x32, true
	case goarch == "amd64" && d.Audit == unix.AUDIT_ARCH_X86_64 && d.Number == math.MaxUint32:
		return amd64, true
	case goarch == "amd64" && d.Audit == unix.AUDIT_ARCH_I386:
		return x86, has(specs.ArchX86)
	case goarch == "arm64" && d.Audit == unix.AUDIT_ARCH_AARCH64:
		return arm64, true
	case goarch == "arm64" && d.Audit == unix.AUDIT_ARCH_ARM:
		return arm, has(specs.ArchARM)
	}
	return 0, false
}

// referenceOwn tells the numbers that new calls do not get.
func referenceOwn(a arch, nr int64) bool {
	return a == x32 && nr >= x32Bit+512 && nr <= x32Bit+547 || a == arm && nr >= 0xf0000 && nr <= 0xf0005
}

var referenceCalls = func() map[string]*systemCall {
	m := map[string]*systemCall{}
	for i := range table {
		m[table[i].name] = &table[i]
	}
	return m
}()

// referenceMux tells whether a call of x86 is call, made by socketcall or ipc.
func referenceMux(call *systemCall, d *Data) bool {
	switch first := d.Arguments[0]; d.Number {
	case 102:
		return call.mux > 100 && call.mux < 200 && uint64(call.mux)-100 == first&math.MaxUint32
	case 117:
		return call.mux > 200 && uint64(call.mux)-200 == first&math.MaxUint16
	}
	return false
}

func referenceHolds(args []specs.LinuxSeccompArg, a arch, d *Data, mux bool) bool {
	var counts [6]int
	for _, c := range args {
		counts[c.Index]++
	}
	either := slices.Max(counts[:]) > 1
	some := len(args) == 0
	for _, c := range args {
		holds := referenceCompare(c, a, d.Arguments[c.Index]) || mux && c.Index == 0
		if !holds && !either {
			return false
		}
		some = some || holds
	}
	return some
}

func referenceCompare(c specs.LinuxSeccompArg, a arch, value uint64) bool {
	one, two := c.Value, c.ValueTwo
	if a == x86 || a == x32 || a == arm {
		value, one, two = uint64(uint32(value)), uint64(uint32(one)), uint64(uint32(two))
	}
	switch c.Op {
	case specs.OpEqualTo:
		return value == one
	case specs.OpNotEqual:
		return value != one
	case specs.OpLessThan:
		return value < one
	case specs.OpLessEqual:
		return value <= one
	case specs.OpGreaterThan:
		return value > one
	case specs.OpGreaterEqual:
		return value >= one
	case specs.OpMaskedEqual:
		return value&one == two
	}
	panic(c.Op)
}
