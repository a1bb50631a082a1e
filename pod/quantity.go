package pod

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/strict"
)

// Quantity is an amount of a resource as Kubernetes writes it: "500m", "0.5",
// "64Mi", "1G", "1e3". It is kept exactly as written. The zero value is an
// absent quantity.
type Quantity struct {
	text string
	// The amount is digits × 10^exponent × 2^shift.
	digits   uint64
	exponent int
	shift    uint
}

// suffixes maps what may follow the digits to powers of ten and of two.
var suffixes = [...]struct {
	name     string
	exponent int
	shift    uint
}{
	{"", 0, 0}, {"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0},
	{"k", 3, 0}, {"M", 6, 0}, {"G", 9, 0}, {"T", 12, 0}, {"P", 15, 0}, {"E", 18, 0},
	{"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
}

// ParseQuantity reads a quantity of at most 18 significant digits. Negative
// ones are refused: no resource has them.
func ParseQuantity(s string) (Quantity, error) {
	number := strings.TrimPrefix(s, "+")
	if strings.HasPrefix(number, "-") {
		return Quantity{}, fmt.Errorf("%q is negative", s)
	}
	end := 0
	for end < len(number) && (number[end] >= '0' && number[end] <= '9' || number[end] == '.') {
		end++
	}
	q := Quantity{text: s}
	if err := q.setNumber(number[:end]); err != nil {
		return Quantity{}, fmt.Errorf("%q: %w", s, err)
	}
	if err := q.setSuffix(number[end:]); err != nil {
		return Quantity{}, fmt.Errorf("%q: %w", s, err)
	}
	return q, nil
}

func (q *Quantity) setNumber(s string) error {
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Contains(fraction, ".") {
		return errors.New("expected a number such as 64Mi, 0.5 or 500m")
	}
	q.exponent = -len(fraction)
	digits = strings.TrimLeft(digits, "0")
	short := strings.TrimRight(digits, "0")
	q.exponent += len(digits) - len(short)
	if short == "" {
		q.exponent = 0
		return nil
	}
	if len(short) > 18 {
		return errors.New("more than 18 digits")
	}
	var err error
	q.digits, err = strconv.ParseUint(short, 10, 64)
	return err
}

func (q *Quantity) setSuffix(s string) error {
	for _, suffix := range suffixes {
		if s == suffix.name {
			q.exponent += suffix.exponent
			q.shift = suffix.shift
			return nil
		}
	}
	if s[0] == 'e' || s[0] == 'E' {
		if n, err := strconv.ParseInt(s[1:], 10, 8); err == nil {
			q.exponent += int(n)
			return nil
		} else if errors.Is(err, strconv.ErrRange) {
			return errors.New("the exponent is out of range")
		}
	}
	return fmt.Errorf("unknown suffix %q; use one of Ki Mi Gi Ti Pi Ei k M G T P E, or m for thousandths", s)
}

// scaled returns the amount × 10^scale, rounded up, at most math.MaxInt64, and
// whether that is the amount itself.
func (q Quantity) scaled(scale int) (n int64, exact bool) {
	if q.digits == 0 {
		return 0, true
	}
	// 18 digits have 60 bits: shifted by 60 at most they fit into 128.
	high, low := q.digits>>(64-q.shift), q.digits<<q.shift
	if q.shift == 0 {
		high = 0
	}
	exact = true
	for e := q.exponent + scale; e != 0 && (high != 0 || low != 0); {
		if e > 0 {
			if high != 0 || low > math.MaxInt64/10 {
				return math.MaxInt64, false
			}
			low *= 10
			e--
			continue
		}
		var rest uint64
		high, rest = high/10, high%10
		low, rest = bits.Div64(rest, low, 10)
		exact = exact && rest == 0
		e++
	}
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64, false
	}
	if !exact {
		if low == math.MaxInt64 {
			return math.MaxInt64, false
		}
		low++
	}
	return int64(low), exact
}

// Value returns the amount in whole units (bytes of memory), rounded up as
// Kubernetes does and at most math.MaxInt64. Validate refuses amounts of memory
// that would need either.
func (q Quantity) Value() int64 {
	n, _ := q.scaled(0)
	return n
}

// MilliValue returns the amount in thousandths (of a CPU), rounded up and at
// most math.MaxInt64. Validate refuses amounts of CPU that would need either.
func (q Quantity) MilliValue() int64 {
	n, _ := q.scaled(3)
	return n
}

// IsZero reports whether the quantity is absent; "0" is not.
func (q Quantity) IsZero() bool { return q.text == "" }

// String returns the quantity as it was written.
func (q Quantity) String() string { return q.text }

// MarshalText returns the quantity as it was written.
func (q Quantity) MarshalText() ([]byte, error) { return []byte(q.text), nil }

// UnmarshalText is ParseQuantity.
func (q *Quantity) UnmarshalText(text []byte) (err error) {
	*q, err = ParseQuantity(string(text))
	return err
}

// UnmarshalNode takes a string or a number from a spec.
func (q *Quantity) UnmarshalNode(n *strict.Node) (err error) {
	if n.Kind != strict.String && n.Kind != strict.Number {
		return fmt.Errorf(`found %s, expected a quantity such as "64Mi", "500m" or 2`, n.Kind)
	}
	*q, err = ParseQuantity(n.Text)
	return err
}
