package seccomp

import (
	"fmt"
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const arguments = 6 // of a system call, at most

// condition compares an argument: (argument & mask) op value.
type condition struct {
	index       uint8
	op          operator
	mask, value uint64
}

type operator uint8

const (
	equal operator = iota
	notEqual
	less
	lessOrEqual
	greater
	greaterOrEqual
)

var operators = [...]struct {
	name specs.LinuxSeccompOperator
	op   operator
	sign string
}{
	{specs.OpEqualTo, equal, "=="}, {specs.OpNotEqual, notEqual, "!="},
	{specs.OpLessThan, less, "<"}, {specs.OpLessEqual, lessOrEqual, "<="},
	{specs.OpGreaterThan, greater, ">"}, {specs.OpGreaterEqual, greaterOrEqual, ">="},
	{specs.OpMaskedEqual, equal, "=="},
}

// parseCondition reads a condition. Errors are *Error.
func parseCondition(a *specs.LinuxSeccompArg) (condition, error) {
	if a.Index >= arguments {
		return condition{}, wrong("index", "there is no argument %d: a system call has 0 to %d", a.Index, arguments-1)
	}
	for _, o := range operators {
		if o.name != a.Op {
			continue
		}
		c := condition{uint8(a.Index), o.op, math.MaxUint64, a.Value}
		if a.Op == specs.OpMaskedEqual {
			c.mask, c.value = a.Value, a.ValueTwo
		}
		return c, nil
	}
	return condition{}, wrong("op", "there is no operator %q: give SCMP_CMP_EQ, _NE, _LT, _LE, _GT, _GE or _MASKED_EQ", a.Op)
}

// sharedArgument tells whether two conditions are on the same argument.
func sharedArgument(list []condition) bool {
	seen := [arguments]bool{}
	for _, c := range list {
		if seen[c.index] {
			return true
		}
		seen[c.index] = true
	}
	return false
}

// narrow is the condition on arguments of 32 bits.
func (c condition) narrow() condition {
	c.mask &= math.MaxUint32
	c.value &= math.MaxUint32
	return c
}

func (c condition) String() string {
	sign := ""
	for _, o := range operators {
		if o.op == c.op {
			sign = o.sign
			break
		}
	}
	if c.mask != math.MaxUint64 {
		return fmt.Sprintf("arg%d & %#x %s %#x", c.index, c.mask, sign, c.value)
	}
	return fmt.Sprintf("arg%d %s %#x", c.index, sign, c.value)
}
