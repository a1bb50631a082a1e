package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

const signatureHex = "0d0a0d0a000d0a515549540a"

// bytesOf takes hexadecimal digits with spaces.
func bytesOf(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func header(src, dst string) Header {
	return Header{Source: netip.MustParseAddrPort(src), Destination: netip.MustParseAddrPort(dst)}
}

var headerFour = header("192.168.0.1:56324", "192.168.0.11:443")

// headers are written by hand from the specification.
var headers = []struct {
	name   string
	h      Header
	v1, v2 string // v2 after the signature
}{
	{"TCP4", headerFour, "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
		"21 11 000c c0a80001 c0a8000b dc04 01bb"},
	{"longest TCP4", header("255.255.255.255:65535", "255.255.255.255:65535"),
		"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "21 11 000c ffffffff ffffffff ffff ffff"},
	{"TCP6", header("[2001:db8::1]:1", "[fe80::2]:0"), "PROXY TCP6 2001:db8::1 fe80::2 1 0\r\n",
		"21 21 0024 20010db8000000000000000000000001 fe800000000000000000000000000002 0001 0000"},
	{"both families", header("10.1.2.3:4", "[::1]:5"), "PROXY TCP6 ::ffff:a01:203 ::1 4 5\r\n",
		"21 21 0024 00000000000000000000ffff0a010203 00000000000000000000000000000001 0004 0005"},
	{"unknown", Header{}, "PROXY UNKNOWN\r\n", "21 00 0000"},
	{"local", Header{Local: true}, "PROXY UNKNOWN\r\n", "20 00 0000"},
	{"UDP", Header{Source: headerFour.Source, Destination: headerFour.Destination, Datagram: true}, "PROXY UNKNOWN\r\n",
		"21 12 000c c0a80001 c0a8000b dc04 01bb"},
}

func TestHeaderAppend(t *testing.T) {
	for _, test := range headers {
		if got := test.h.AppendV1([]byte("x")); string(got) != "x"+test.v1 {
			t.Errorf("%s: version 1 is %q, want %q", test.name, got, test.v1)
		}
		want := bytesOf(t, "78"+signatureHex+test.v2)
		if got := test.h.AppendV2([]byte("x")); !bytes.Equal(got, want) {
			t.Errorf("%s: version 2 is\n%x, want\n%x", test.name, got, want)
		}
	}
}

// TestHeaderAppendUnifies: what netip tells apart and the wire does not.
func TestHeaderAppendUnifies(t *testing.T) {
	for _, test := range []struct{ src, dst, want string }{
		{"[::ffff:1.2.3.4]:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n"},
		{"[fe80::1%eth0]:5", "[fe80::2]:6", "PROXY TCP6 fe80::1 fe80::2 5 6\r\n"},
		{"[fe80::1%eth0]:5", "1.2.3.4:6", "PROXY TCP6 fe80::1 ::ffff:102:304 5 6\r\n"},
	} {
		if got := header(test.src, test.dst).AppendV1(nil); string(got) != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestHeaderAppendAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, HeaderLenV1+HeaderLenV2)
	for _, test := range headers {
		if n := testing.AllocsPerRun(100, func() {
			test.h.AppendV1(buf)
			test.h.AppendV2(buf)
		}); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func TestHeaderLengths(t *testing.T) {
	const most = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
	h := header(most, most)
	if n := len(h.AppendV1(nil)); n != HeaderLenV1 {
		t.Errorf("HeaderLenV1 is %d, the longest has %d bytes", HeaderLenV1, n)
	}
	if n := len(h.AppendV2(nil)); n != HeaderLenV2 {
		t.Errorf("HeaderLenV2 is %d, the longest has %d bytes", HeaderLenV2, n)
	}
}

// checkParse parses all of b, and every beginning of it: these must be short
// until the outcome is clear, and n must not ask for more than it takes.
func checkParse(t *testing.T, b []byte) (h Header, n int, err error) {
	t.Helper()
	h, n, err = ParseHeader(b)
	if err == nil && (n < 1 || n > len(b)) {
		t.Fatalf("%q: header of %d bytes in %d", b, n, len(b))
	}
	need := 0
	for i := range len(b) + 1 {
		part, m, partErr := ParseHeader(b[:i:i])
		if errors.Is(partErr, ErrHeaderShort) {
			if need = m; m <= i {
				t.Fatalf("%q: asks for %d bytes when it has %d", b[:i], m, i)
			}
			continue
		}
		if partErr == nil && i < need {
			t.Fatalf("%q: complete with %d bytes, but wanted %d", b, i, need)
		}
		if fmt.Sprint(part, m, partErr == nil) != fmt.Sprint(h, n, err == nil) || part != h {
			t.Fatalf("%q: %v, %d, %v of the first %d bytes, but %v, %d, %v of all", b, part, m, partErr, i, h, n, err)
		}
	}
	return h, n, err
}

func TestParseHeader(t *testing.T) {
	for _, test := range headers {
		v2 := test.h.AppendV2(nil)
		got, n, err := checkParse(t, append(v2, "data"...))
		want := test.h
		if src, dst, ok := test.h.known(); ok {
			want.Source, want.Destination = src, dst
		}
		if err != nil || n != len(v2) || got != want {
			t.Errorf("%s: version 2: %+v, %d, %v; want %+v, %d", test.name, got, n, err, want, len(v2))
		}
		want.Local = false
		if test.h.Datagram {
			want = Header{}
		}
		got, n, err = checkParse(t, []byte(test.v1+"data"))
		if err != nil || n != len(test.v1) || got != want {
			t.Errorf("%s: version 1: %+v, %d, %v; want %+v, %d", test.name, got, n, err, want, len(test.v1))
		}
	}
}

// withSum makes the last four bytes the checksum of all.
func withSum(b []byte) []byte {
	clear(b[len(b)-4:])
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestParseHeaderAccepts(t *testing.T) {
	four := "c0a80001 c0a8000b dc04 01bb"
	for _, test := range []struct {
		name string
		b    []byte
		want Header
	}{
		{"UNKNOWN with anything", []byte("PROXY UNKNOWN ffff:: what ever\r\n"), Header{}},
		{"UNKNOWN of 107 bytes", []byte("PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n"), Header{}},
		{"upper case", []byte("PROXY TCP6 2001:DB8::A ::1 1 2\r\n"), header("[2001:db8::a]:1", "[::1]:2")},
		{"dots in IPv6", []byte("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n"), header("[::ffff:1.2.3.4]:1", "[::1]:2")},
		{"local with a family and a block", bytesOf(t, signatureHex+"20 ff 0003 ffffff"), Header{Local: true}},
		{"unspecified with a block", bytesOf(t, signatureHex+"21 00 0003 ffffff"), Header{}},
		{"unspecified transport", bytesOf(t, signatureHex+"21 10 0001 ff"), Header{}},
		{"unix", bytesOf(t, signatureHex+"21 31 00d8"+strings.Repeat("61", 216)), Header{}},
		{"unix datagram", bytesOf(t, signatureHex+"21 32 00d8"+strings.Repeat("61", 216)), Header{Datagram: true}},
		{"vectors", bytesOf(t, signatureHex+"21 11 0013"+four+"04 0000 05 0001 ff"), headerFour},
		{"checksum", withSum(bytesOf(t, signatureHex+"21 11 0017"+four+"04 0001 00 03 0004 00000000")), headerFour},
	} {
		if got, n, err := checkParse(t, test.b); err != nil || n != len(test.b) || got != test.want {
			t.Errorf("%s: %+v, %d, %v; want %+v, %d", test.name, got, n, err, test.want, len(test.b))
		}
	}
}

// TestHeaderChecksum is RFC 3720's example (B.4), to know that the polynomial is
// the right one: 32 zero bytes.
func TestHeaderChecksum(t *testing.T) {
	if got := crc32.Checksum(make([]byte, 32), crc32.MakeTable(crc32.Castagnoli)); got != 0x8a9136aa {
		t.Errorf("0x%08x, want 0x8a9136aa", got)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	four := "c0a80001 c0a8000b dc04 01bb"
	wrong := withSum(bytesOf(t, signatureHex+"21 11 0013"+four+"03 0004 00000000"))
	wrong[17] ^= 1
	for _, b := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n"),
		[]byte("PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		[]byte("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
		[]byte("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"),
		[]byte("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"),
		[]byte("PROXY TCP4 ::1 ::1 1 2\r\n"),
		[]byte("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
		[]byte("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
		[]byte("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"),
		[]byte("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n"),
		[]byte("PROXY UNKNOWNX\r\n"),
		[]byte("PROXY \r\n"),
		[]byte("PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n"),
		[]byte("PROXY UNKNOWN " + strings.Repeat("x", 200)),
		bytesOf(t, "0d0a0d0a000d0a515549540b"),
		bytesOf(t, signatureHex+"11"),
		bytesOf(t, signatureHex+"22"),
		bytesOf(t, signatureHex+"21 13"),
		bytesOf(t, signatureHex+"21 41"),
		bytesOf(t, signatureHex+"21 11 000b c0a80001 c0a8000b dc04 01"),
		bytesOf(t, signatureHex+"21 21 000c"+four),
		bytesOf(t, signatureHex+"21 31 000c"+four),
		bytesOf(t, signatureHex+"21 11 000e"+four+"0400"),
		bytesOf(t, signatureHex+"21 11 000f"+four+"04 0001"),
		bytesOf(t, signatureHex+"21 11 0012"+four+"03 0003 000000"),
		wrong,
	} {
		h, n, err := checkParse(t, b)
		if !errors.Is(err, ErrHeader) || h != (Header{}) || n != 0 {
			t.Errorf("%q: %+v, %d, %v; want nothing and an error", b, h, n, err)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, test := range headers {
		f.Add([]byte(test.v1))
		f.Add(test.h.AppendV2(nil))
	}
	f.Add(withSum(bytesOf(f, signatureHex+"21 11 0017 c0a80001c0a8000bdc0401bb 04 0001 00 03 0004 00000000")))
	f.Add([]byte("PROXY UNKNOWN " + strings.Repeat("x", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1000 {
			b = b[:1000] // each beginning is parsed
		}
		h, _, err := checkParse(t, b)
		if err != nil && h != (Header{}) {
			t.Errorf("%+v with the error %v", h, err)
		}
		if err == nil {
			roundTrip(t, h)
		}
	})
}

func FuzzHeaderRoundTrip(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}, uint16(9), uint16(10), false, false)
	f.Add(make([]byte, 16), []byte{5, 6, 7, 8}, uint16(9), uint16(10), true, false)
	f.Fuzz(func(t *testing.T, src, dst []byte, sport, dport uint16, local, datagram bool) {
		s, _ := netip.AddrFromSlice(src)
		d, _ := netip.AddrFromSlice(dst)
		roundTrip(t, Header{netip.AddrPortFrom(s, sport), netip.AddrPortFrom(d, dport), local, datagram})
	})
}

// roundTrip: what is written is read as it was meant.
func roundTrip(t *testing.T, h Header) {
	t.Helper()
	src, dst, ok := h.known()
	want := Header{Source: src, Destination: dst, Datagram: ok && h.Datagram, Local: h.Local}
	b := append(h.AppendV2(nil), "data"...)
	if got, n, err := ParseHeader(b); err != nil || n != len(b)-4 || got != want {
		t.Errorf("version 2: %+v, %d, %v; want %+v", got, n, err, want)
	}
	if want.Local = false; h.Datagram {
		want = Header{}
	}
	b = append(h.AppendV1(nil), "data"...)
	if got, n, err := ParseHeader(b); err != nil || n != len(b)-4 || got != want {
		t.Errorf("version 1 %q: %+v, %d, %v; want %+v", b, got, n, err, want)
	}
}

func BenchmarkHeader(b *testing.B) {
	buf := make([]byte, 0, 128)
	v1, v2 := headerFour.AppendV1(nil), headerFour.AppendV2(nil)
	for name, f := range map[string]func(){
		"append-v1": func() { headerFour.AppendV1(buf) },
		"append-v2": func() { headerFour.AppendV2(buf) },
		"parse-v1":  func() { ParseHeader(v1) },
		"parse-v2":  func() { ParseHeader(v2) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
