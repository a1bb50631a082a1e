package program

import (
	"fmt"
	"strconv"
	"strings"
)

// Value is an argument of a call.
type Value struct {
	bits     uint64
	show     string // how a listing shows it; "" is the number
	indirect bool   // bits is the address of the argument
}

// Null is the NULL pointer.
var Null = Value{show: "NULL"}

// Int is a number.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](n T) Value {
	return Value{bits: uint64(n)}
}

// Sym is a number that a listing shows by name.
func Sym[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](n T, name string) Value {
	return Value{bits: uint64(n), show: name}
}

// Octal is a number that a listing shows as a file mode.
func Octal(n uint32) Value { return Value{bits: uint64(n), show: fmt.Sprintf("%#o", n)} }

func (v Value) String() string {
	if v.show != "" {
		return v.show
	}
	return strconv.FormatInt(int64(v.bits), 10)
}

// Var is a place for a result.
type Var struct {
	addr uint64
	name string
}

// Value is what the variable holds when the step that it is an argument of is
// reached.
func (v Var) Value() Value { return Value{bits: v.addr, show: v.name, indirect: true} }

// Addr is the variable's address.
func (v Var) Addr() Value { return Value{bits: v.addr, show: "&" + v.name} }

const longest = 72 // bytes of a string that a listing shows

func quote(s string) string {
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "..."
	}
	return strconv.Quote(s)
}

func quoteList(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == 16 {
			fmt.Fprintf(&b, "... %d more", len(list)-i)
			break
		}
		b.WriteString(quote(s))
	}
	b.WriteByte(']')
	return b.String()
}

// Address is v as a number, for structures that point to other data.
func (v Value) Address() uint64 { return v.bits }
