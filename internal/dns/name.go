package dns

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxName is the longest name as text, without the dot at its end.
const maxName = 253

// readName reads the uncompressed name at the start of msg. It returns how many
// bytes that takes, 0 when it is none, and the name as text, in lower case and
// without the dot at its end ("" is the root). A dot inside of a label becomes a
// backslash, which no name of ours has.
func readName(msg []byte) (size int, name string) {
	var buf [256]byte
	text := buf[:0]
	for at := 0; at < len(msg); {
		n := int(msg[at])
		at++
		switch {
		case n == 0:
			return at, string(text)
		case n > 63, at+n >= len(msg), at+n > 254:
			return 0, "" // a pointer, or too long
		}
		if len(text) > 0 {
			text = append(text, '.')
		}
		for _, c := range msg[at : at+n] {
			text = append(text, plain(c))
		}
		at += n
	}
	return 0, ""
}

func plain(c byte) byte {
	switch {
	case c == '.':
		return '\\'
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	}
	return c
}

// appendName appends a name as text in the form of a message; ok says that it
// was one.
func appendName(msg []byte, name string) (_ []byte, ok bool) {
	if len(name) > maxName {
		return msg, false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return msg, false
		}
		msg = append(msg, byte(len(label)))
		msg = append(msg, label...)
	}
	return append(msg, 0), true
}

// canonical returns a name that somebody wrote as we compare names.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// below returns what stands before the domain in name.
func below(name, domain string) (rest string, ok bool) {
	if name == domain {
		return "", true
	}
	rest, ok = strings.CutSuffix(name, domain)
	if !ok || domain == "" {
		return rest, ok
	}
	return strings.CutSuffix(rest, ".")
}

// labels splits a name from its end; a name of more than len(to) has no answer
// here.
func labels(name string, to []string) (n int, ok bool) {
	for name != "" {
		if n == len(to) {
			return n, false
		}
		at := strings.LastIndexByte(name, '.')
		if at == 0 {
			return n, false
		}
		to[n] = name[at+1:]
		n++
		name = name[:max(at, 0)]
	}
	return n, true
}

// dashed writes an address as a label.
func dashed(a netip.Addr) string {
	text := strings.Map(func(r rune) rune {
		if r == '.' || r == ':' {
			return '-'
		}
		return r
	}, a.Unmap().WithZone("").String())
	// A label neither begins nor ends with a dash: ::1 is 0--1.
	if strings.HasPrefix(text, "-") {
		text = "0" + text
	}
	if strings.HasSuffix(text, "-") {
		text += "0"
	}
	return text
}

// undashed is the reverse of dashed.
func undashed(label string) (netip.Addr, bool) {
	sep := ":"
	if strings.Count(label, "-") == 3 && !strings.Contains(label, "--") {
		sep = "."
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", sep))
	return a, err == nil
}

// reversed returns the address that a name below in-addr.arpa or ip6.arpa stands
// for.
func reversed(name string) (netip.Addr, bool) {
	if rest, ok := below(name, "in-addr.arpa"); ok {
		return reversed4(rest)
	}
	if rest, ok := below(name, "ip6.arpa"); ok {
		return reversed6(rest)
	}
	return netip.Addr{}, false
}

func reversed4(rest string) (netip.Addr, bool) {
	var parts [4]string
	if n, ok := labels(rest, parts[:]); !ok || n != 4 {
		return netip.Addr{}, false
	}
	var a [4]byte
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil || len(p) > 1 && p[0] == '0' {
			return netip.Addr{}, false
		}
		a[i] = byte(v)
	}
	return netip.AddrFrom4(a), true
}

func reversed6(rest string) (netip.Addr, bool) {
	if len(rest) != 63 {
		return netip.Addr{}, false
	}
	var a [16]byte
	for i := range 32 {
		at := 62 - 2*i
		v := strings.IndexByte("0123456789abcdef", rest[at])
		if v < 0 || at > 0 && rest[at-1] != '.' {
			return netip.Addr{}, false
		}
		a[i/2] = a[i/2]<<4 | byte(v)
	}
	return netip.AddrFrom16(a).Unmap(), true
}
