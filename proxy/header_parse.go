package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// ParseHeader reads the header of either version that b begins with; n is its
// length. The error is [ErrHeaderShort] if b is the beginning of a header; n is
// then the least that b has to hold for another attempt to get further. Every
// other error wraps [ErrHeader], and no more bytes will mend it.
//
// Of what version 2 may say beside the addresses, a checksum is verified and the
// rest is skipped.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 1, ErrHeaderShort
	}
	switch b[0] {
	case headerWord[0]:
		return parseLine(b)
	case headerSignature[0]:
		return parseBinary(b)
	}
	return h, 0, headerError("it begins with %q", b[:1])
}

func headerError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrHeader}, args...)...)
}

// begins reports whether b and s are the same as far as both go.
func begins(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

func parseLine(b []byte) (h Header, n int, err error) {
	if !begins(b, headerWord) {
		return h, 0, headerError("it begins with %q, not %q", b[:min(len(b), len(headerWord))], headerWord)
	}
	end := bytes.IndexAny(b[:min(len(b), maxHeaderLine)], "\r\n")
	switch {
	case end < 0 && len(b) < maxHeaderLine:
		return h, len(b) + 1, ErrHeaderShort
	case end < 0 || end+2 > maxHeaderLine:
		return h, 0, headerError("the line does not end within %d bytes", maxHeaderLine)
	case b[end] == '\n' || end+1 < len(b) && b[end+1] != '\n':
		return h, 0, headerError("the line does not end with CR LF")
	case end+1 == len(b):
		return h, end + 2, ErrHeaderShort
	}
	h, err = parseWords(string(b[:end]))
	if err != nil {
		return Header{}, 0, err
	}
	return h, end + 2, nil
}

// parseWords reads the line of version 1 without its end.
func parseWords(line string) (h Header, err error) {
	line, ok := strings.CutPrefix(line, headerWord)
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return h, nil
	}
	words := strings.Split(line, " ")
	if !ok || len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return h, headerError("%q is none of TCP4, TCP6 with four words, and UNKNOWN", line)
	}
	is4 := words[0] == "TCP4"
	h.Source, err = parseEnd(words[1], words[3], is4)
	if err == nil {
		h.Destination, err = parseEnd(words[2], words[4], is4)
	}
	return h, err
}

func parseEnd(addr, port string, is4 bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4() != is4 || a.Zone() != "" {
		return netip.AddrPort{}, headerError("address %q", addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, headerError("port %q", port)
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

func parseBinary(b []byte) (h Header, n int, err error) {
	if !begins(b, headerSignature) {
		return h, 0, headerError("the signature of version 2 is not right")
	}
	if err := checkKind(b); err != nil {
		return h, 0, err
	}
	if len(b) < headerFixed {
		return h, headerFixed, ErrHeaderShort
	}
	n = headerFixed + int(binary.BigEndian.Uint16(b[headerFixed-2:]))
	h.Local = b[12] == headerLocal
	family, transport := b[13]>>4, b[13]&15
	if h.Local || family == 0 || transport == 0 {
		// Whatever follows is to be ignored.
		if len(b) < n {
			return Header{}, n, ErrHeaderShort
		}
		return h, n, nil
	}
	size := [...]int{headerInet: 12, headerInet6: 36, headerUnix: 216}[family]
	if n < headerFixed+size {
		return h, 0, headerError("%d bytes of addresses, want %d", n-headerFixed, size)
	}
	if len(b) < n {
		return h, n, ErrHeaderShort
	}
	if err := checkVectors(b[:n], headerFixed+size); err != nil {
		return h, 0, err
	}
	h.setAddrs(family, b[headerFixed:n])
	h.Datagram = transport == headerDatagram
	return h, n, nil
}

// checkKind checks the version, the command, the family and the transport, as
// far as they are there. A local connection's family is to be ignored.
func checkKind(b []byte) error {
	if len(b) > 12 && b[12] != headerLocal && b[12] != headerProxy {
		return headerError("version and command 0x%02x", b[12])
	}
	if len(b) > 13 && b[12] == headerProxy && (b[13]>>4 > headerUnix || b[13]&15 > headerDatagram) {
		return headerError("family and transport 0x%02x", b[13])
	}
	return nil
}

func (h *Header) setAddrs(family byte, b []byte) {
	size := 4
	switch family {
	case headerUnix:
		return // names of sockets of another machine
	case headerInet6:
		size = 16
	}
	src, _ := netip.AddrFromSlice(b[:size])
	dst, _ := netip.AddrFromSlice(b[size : 2*size])
	ports := b[2*size:]
	h.Source = netip.AddrPortFrom(src, binary.BigEndian.Uint16(ports))
	h.Destination = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ports[2:]))
}

// The vectors that may follow the addresses: a byte for the type, two for the
// length, and the value.
const (
	vectorFixed = 3
	vectorCRC32 = 3 // the type of the checksum of all
)

// checkVectors checks the form of the vectors from at on, and the checksum.
func checkVectors(header []byte, at int) error {
	for at < len(header) {
		rest := header[at:]
		if len(rest) < vectorFixed {
			return headerError("%d bytes after the last vector", len(rest))
		}
		size := int(binary.BigEndian.Uint16(rest[1:]))
		if size > len(rest)-vectorFixed {
			return headerError("a vector of %d bytes where %d are left", size, len(rest)-vectorFixed)
		}
		if rest[0] == vectorCRC32 {
			if size != 4 {
				return headerError("a checksum of %d bytes", size)
			}
			if err := checkSum(header, at+vectorFixed); err != nil {
				return err
			}
		}
		at += vectorFixed + size
	}
	return nil
}

// checkSum compares the four bytes at the given place with the checksum of the
// header in which they are zero.
func checkSum(header []byte, at int) error {
	// Package crc32 makes this table when it is first asked for it: 0.1 ms that
	// no program has to spend at its start.
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, castagnoli, header[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	sum = crc32.Update(sum, castagnoli, header[at+4:])
	if want := binary.BigEndian.Uint32(header[at:]); sum != want {
		return headerError("its checksum is 0x%08x, it says 0x%08x", sum, want)
	}
	return nil
}
