package proxy

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

// Header is what a proxy says about a connection at its beginning, in the PROXY
// protocol: whose it was before (haproxy.org/download/2.9/doc/proxy-protocol.txt).
type Header struct {
	// Source and Destination are the connection's ends as the first proxy
	// saw them. Both are zero where they are not known or no Internet
	// addresses: then those of the connection itself count.
	Source, Destination netip.AddrPort
	// Local: the connection is the sender's own, such as a health check.
	// Version 1 cannot say so, and says that the addresses are not known.
	Local bool
	// Datagram: the addresses are UDP's. Version 1 knows only TCP.
	Datagram bool
}

var (
	// ErrHeaderShort is returned by [ParseHeader] for the beginning of a
	// header that is not there as a whole.
	ErrHeaderShort = errors.New("PROXY protocol header is incomplete")
	// ErrHeader is wrapped by errors about what is no valid header.
	ErrHeader = errors.New("invalid PROXY protocol header")
)

const (
	headerSignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	headerFixed     = len(headerSignature) + 4
	headerWord      = "PROXY " // of version 1
	maxHeaderLine   = 107      // of version 1, with CR and LF

	// HeaderLenV1 is the most that AppendV1 appends.
	HeaderLenV1 = 104
	// HeaderLenV2 is the most that AppendV2 appends.
	HeaderLenV2 = headerFixed + 36
)

// The bytes of version 2 that say what follows.
const (
	headerLocal = 0x20
	headerProxy = 0x21

	headerInet  = 1 // the upper half of the byte
	headerInet6 = 2
	headerUnix  = 3

	headerStream   = 1 // the lower half
	headerDatagram = 2
)

// known reports whether there are addresses to be sent, and returns them in one
// family: IPv4 beside IPv6 becomes IPv4 in IPv6.
func (h Header) known() (src, dst netip.AddrPort, ok bool) {
	if h.Local || !h.Source.IsValid() || !h.Destination.IsValid() {
		return src, dst, false
	}
	a, b := h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	if a.Is4() != b.Is4() {
		a, b = netip.AddrFrom16(a.As16()), netip.AddrFrom16(b.As16())
	}
	return netip.AddrPortFrom(a, h.Source.Port()), netip.AddrPortFrom(b, h.Destination.Port()), true
}

// AppendV1 appends the header in version 1, a line of text.
func (h Header) AppendV1(b []byte) []byte {
	src, dst, ok := h.known()
	switch {
	case !ok || h.Datagram:
		return append(b, "PROXY UNKNOWN\r\n"...)
	case src.Addr().Is4():
		b = append(b, "PROXY TCP4 "...)
	default:
		b = append(b, "PROXY TCP6 "...)
	}
	b = append(appendHeaderAddr(b, src.Addr()), ' ')
	b = append(appendHeaderAddr(b, dst.Addr()), ' ')
	b = append(strconv.AppendUint(b, uint64(src.Port()), 10), ' ')
	b = strconv.AppendUint(b, uint64(dst.Port()), 10)
	return append(b, "\r\n"...)
}

// appendHeaderAddr writes IPv4 in IPv6 in hexadecimal digits, the only form that
// the specification has.
func appendHeaderAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4In6() {
		return a.WithZone("").AppendTo(b)
	}
	ip := a.As16()
	b = append(b, "::ffff:"...)
	b = append(strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(ip[12:])), 16), ':')
	return strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(ip[14:])), 16)
}

// AppendV2 appends the header in version 2, which is binary.
func (h Header) AppendV2(b []byte) []byte {
	b = append(b, headerSignature...)
	src, dst, ok := h.known()
	switch {
	case h.Local:
		return append(b, headerLocal, 0, 0, 0)
	case !ok:
		return append(b, headerProxy, 0, 0, 0)
	}
	transport := byte(headerStream)
	if h.Datagram {
		transport = headerDatagram
	}
	if src.Addr().Is4() {
		s, d := src.Addr().As4(), dst.Addr().As4()
		b = append(b, headerProxy, headerInet<<4|transport, 0, 12)
		b = append(append(b, s[:]...), d[:]...)
	} else {
		s, d := src.Addr().As16(), dst.Addr().As16()
		b = append(b, headerProxy, headerInet6<<4|transport, 0, 36)
		b = append(append(b, s[:]...), d[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}
