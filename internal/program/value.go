package program

import (
	"fmt"
	"strconv"
	"strings"
)

// Value is an argument of a call.
type Value struct {
	bits uint64
	// show is how a listing shows it, found out only then: nil is the
	// number, text a quoted string, list of strings, a variable, a string as
	// it is or a fmt.Stringer.
	show any
}

type (
	text     string
	list     []string
	octal    uint32
	inherit  string // a descriptor's name
	variable Var    // whose content is the argument
	address  Var
)

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

// Named is a number that a listing shows by what name says then.
func Named(n uint64, name fmt.Stringer) Value { return Value{bits: n, show: name} }

// Octal is a number that a listing shows as a file mode.
func Octal(n uint32) Value { return Value{bits: uint64(n), show: octal(n)} }

func (v Value) String() string {
	switch show := v.show.(type) {
	case string:
		return show
	case text:
		return quote(string(show))
	case list:
		return quoteList(show)
	case inherit:
		return "<" + string(show) + ">"
	case octal:
		return fmt.Sprintf("%#o", uint32(show))
	case *variable:
		return (*Var)(show).String()
	case *address:
		return "&" + (*Var)(show).String()
	case fmt.Stringer:
		return show.String()
	}
	return strconv.FormatInt(int64(v.bits), 10)
}

// indirect tells that bits is the address of the argument.
func (v Value) indirect() bool {
	_, ok := v.show.(*variable)
	return ok
}

// Address is v as a number, for structures that point to other data.
func (v Value) Address() uint64 { return v.bits }

// Var is a place for a result.
type Var struct {
	addr   uint64
	name   string
	number int // among the program's variables
}

func (v *Var) String() string { return "$" + v.name + strconv.Itoa(v.number) }

// Value is what the variable holds when the step that it is an argument of is
// reached.
func (v *Var) Value() Value { return Value{v.addr, (*variable)(v)} }

// Addr is the variable's address.
func (v *Var) Addr() Value { return Value{v.addr, (*address)(v)} }

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
