package pod

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestQuantity(t *testing.T) {
	const unknown = `; use one of Ki Mi Gi Ti Pi Ei k M G T P E, or m for thousandths`
	for _, tt := range []struct {
		text         string
		value, milli int64
		err          string
	}{
		{"0", 0, 0, ""}, {"1", 1, 1000, ""}, {"+2", 2, 2000, ""}, {"500m", 1, 500, ""}, {"0.5", 1, 500, ""},
		{".5", 1, 500, ""}, {"5.", 5, 5000, ""}, {"1.5Gi", 1610612736, 1610612736000, ""},
		{"64Mi", 64 << 20, 64 << 20 * 1000, ""}, {"1G", 1e9, 1e12, ""}, {"128974848", 128974848, 128974848000, ""},
		{"129e6", 129e6, 129e9, ""}, {"129M", 129e6, 129e9, ""}, {"128974848000m", 128974848, 128974848000, ""},
		{"123Mi", 123 << 20, 123 << 20 * 1000, ""}, {"1e3", 1000, 1e6, ""}, {"1E3", 1000, 1e6, ""}, {"1E", 1e18, math.MaxInt64, ""},
		{"1e-3", 1, 1, ""}, {"1u", 1, 1, ""}, {"1n", 1, 1, ""}, {"0.000001Ei", 1152921504607, 1152921504606847, ""},
		{"7.999999999Ei", 9223372035701854304, math.MaxInt64, ""}, {"8Ei", math.MaxInt64, math.MaxInt64, ""},
		{"1000000000000000000000000", math.MaxInt64, math.MaxInt64, ""}, {"1e-100", 1, 1, ""}, {"0e99", 0, 0, ""},
		{"0.000000000000000000000000000000", 0, 0, ""},

		{"12Q", 0, 0, `"12Q": unknown suffix "Q"` + unknown}, {"12K", 0, 0, `"12K": unknown suffix "K"` + unknown},
		{"12MB", 0, 0, `"12MB": unknown suffix "MB"` + unknown}, {"12 Mi", 0, 0, `"12 Mi": unknown suffix " Mi"` + unknown},
		{"1e", 0, 0, `"1e": unknown suffix "e"` + unknown}, {"1e3Mi", 0, 0, `"1e3Mi": unknown suffix "e3Mi"` + unknown},
		{"", 0, 0, `"": expected a number such as 64Mi, 0.5 or 500m`}, {"Mi", 0, 0, `"Mi": expected a number such as 64Mi, 0.5 or 500m`},
		{".", 0, 0, `".": expected a number such as 64Mi, 0.5 or 500m`}, {"1.2.3", 0, 0, `"1.2.3": expected a number such as 64Mi, 0.5 or 500m`},
		{"-1", 0, 0, `"-1" is negative`}, {"1e1000", 0, 0, `"1e1000": the exponent is out of range`},
		{"1234567890123456789", 0, 0, `"1234567890123456789": more than 18 digits`},
	} {
		q, err := ParseQuantity(tt.text)
		checkError(t, tt.text, err, tt.err)
		if err == nil && (q.Value() != tt.value || q.MilliValue() != tt.milli || q.String() != tt.text) {
			t.Errorf("%q is %d and %d thousandths, want %d and %d", tt.text, q.Value(), q.MilliValue(), tt.value, tt.milli)
		}
	}
}

// FuzzQuantity compares the amount with what math/big makes of it.
func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"500m", "1.5Gi", "12Q", "1e3", "0.000001Ei", "+.5k", "1E", "999999999999999999Ei"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseQuantity(s)
		if err != nil || len(s) > 200 {
			return
		}
		number, power := strings.TrimRight(s, "numkKMGTPEi"), new(big.Rat).SetInt64(1)
		for _, suffix := range suffixes {
			if s[len(number):] == suffix.name {
				power.Mul(power, pow(10, suffix.exponent)).Mul(power, pow(2, int(suffix.shift)))
			}
		}
		want, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("%q was taken", s)
		}
		for _, scale := range []int{0, 3} {
			exact := new(big.Rat).Mul(new(big.Rat).Mul(want, power), pow(10, scale))
			up := new(big.Int).Div(new(big.Int).Add(exact.Num(), new(big.Int).Sub(exact.Denom(), big.NewInt(1))), exact.Denom())
			fits := up.IsInt64()
			if !fits {
				up.SetInt64(math.MaxInt64)
			}
			n, isExact := q.scaled(scale)
			if n != up.Int64() || isExact && (!fits || !exact.IsInt()) || !isExact && fits && exact.IsInt() {
				t.Fatalf("%q × 10^%d = %d (exact: %v), want %v of %v", s, scale, n, isExact, up, exact)
			}
		}
	})
}

func pow(base int64, exponent int) *big.Rat {
	n := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		n.Inv(n)
	}
	return n
}

func TestResources(t *testing.T) {
	p, err := Parse("p.json", []byte(spec(`"resources": {"limits": {"cpu": 1.5, "memory": "64Mi"}, "requests": {"cpu": "100m"}}`, "")))
	if err != nil {
		t.Fatal(err)
	}
	l := p.Spec.Containers[0].Resources.Linux()
	if *l.Memory.Limit != 64<<20 || *l.CPU.Quota != 150_000 || *l.CPU.Period != 100_000 || *l.CPU.Shares != 102 {
		t.Errorf("memory %d, cpu %d of %d, shares %d", *l.Memory.Limit, *l.CPU.Quota, *l.CPU.Period, *l.CPU.Shares)
	}
	for _, tt := range []struct {
		limits string
		quota  int64
		shares uint64
	}{{"1m", 1000, 2}, {"10m", 1000, 10}, {"2", 200_000, 2048}, {"1000", 100_000_000, 262_144}} {
		q, err := ParseQuantity(tt.limits)
		if err != nil {
			t.Fatal(err)
		}
		l := Resources{Limits: ResourceList{CPU: q}, Requests: ResourceList{CPU: q}}.Linux()
		if *l.CPU.Quota != tt.quota || *l.CPU.Shares != tt.shares {
			t.Errorf("cpu %s: quota %d, shares %d; want %d, %d", tt.limits, *l.CPU.Quota, *l.CPU.Shares, tt.quota, tt.shares)
		}
	}
	if (Resources{}).Linux() != nil {
		t.Error("no resources, yet limits")
	}
}
