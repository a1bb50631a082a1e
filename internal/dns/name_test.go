package dns

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

func TestDashed(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.1": "10-0-0-1", "::ffff:10.0.0.1": "10-0-0-1", "fd00::a": "fd00--a",
		"::1": "0--1", "fd00::": "fd00--0", "::": "0--0", "1:2:3:4:5:6:7:8": "1-2-3-4-5-6-7-8",
	} {
		a := netip.MustParseAddr(addr)
		got := dashed(a)
		back, ok := undashed(got)
		if got != want || !ok || back != a.Unmap() {
			t.Errorf("%s: %q, and back %v %v", addr, got, back, ok)
		}
	}
	for _, label := range []string{"", "a", "1-2-3", "1-2-3-256", "web-0", "1--2--3"} {
		if a, ok := undashed(label); ok {
			t.Errorf("%q is %v", label, a)
		}
	}
}

func TestReversed(t *testing.T) {
	one := strings.Repeat("0.", 30) + "d.f.ip6.arpa"
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4", one: "fd00::",
		"3.2.1.in-addr.arpa": "", "5.4.3.2.1.in-addr.arpa": "", "256.3.2.1.in-addr.arpa": "", "04.3.2.1.in-addr.arpa": "",
		"+4.3.2.1.in-addr.arpa": "", ".4.3.2.1.in-addr.arpa": "", "4.3.2.1.in-addr.arpa.x": "", "4.3.2.1xin-addr.arpa": "",
		one[2:]: "", "0." + one: "", "00" + one[2:]: "", "g" + one[1:]: "", "0x" + one[2:]: "", "in-addr.arpa": "", "ip6.arpa": "", "": "",
	} {
		got, ok := reversed(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v %v, want %q", name, got, ok, want)
		}
	}
}

// FuzzName: what is read can be written, and is the same but for its case.
func FuzzName(f *testing.F) {
	f.Add([]byte("\x03www\x07Example\x03com\x00"))
	f.Add([]byte("\x00"))
	f.Add(append(bytes.Repeat([]byte("\x3e"+strings.Repeat("x", 62)), 4), 0))
	f.Fuzz(func(t *testing.T, msg []byte) {
		n, name := readName(msg)
		if n == 0 {
			return
		}
		if n > 255 || len(name) > maxName || name != strings.ToLower(name) && isASCII(name) {
			t.Errorf("%d bytes, %q", n, name)
		}
		if name == "" {
			return
		}
		back, ok := appendName(nil, name)
		if !ok || len(back) != n {
			t.Fatalf("%q is written as % x, was % x", name, back, msg[:n])
		}
		for i := range back {
			if back[i] != plain(msg[i]) && msg[i] > 63 && msg[i] != '.' {
				t.Fatalf("%q is written as % x, was % x", name, back, msg[:n])
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}
