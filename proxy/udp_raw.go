package proxy

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// RawProtocol is that of the raw sockets for [UDPOptions.Raw] (raw(7)): of what
// they send the IP header is a part, and they receive nothing. To make one takes
// CAP_NET_RAW in the user namespace of the network namespace.
const RawProtocol = unix.IPPROTO_RAW

// What a rawHeader has of each family: the IP header, and UDP's.
const (
	rawHeaderSize  = 20 + 8
	rawHeaderSize6 = 40 + 8
)

// rawHeader is what stands before a datagram's payload: an IPv4 header, of which
// the kernel fills in length, identification and checksum, and a UDP header without
// a checksum, which IPv4 allows (RFC 768); or an IPv6 header, where that is not so.
type rawHeader [rawHeaderSize6]byte

// set makes the header of a datagram with a payload, and returns its size.
func (h *rawHeader) set(from, to netip.AddrPort, payload []byte) int {
	if from.Addr().Unmap().Is4() {
		*h = rawHeader{0: 0x45, 8: 64, 9: unix.IPPROTO_UDP}
		src, dst := from.Addr().Unmap().As4(), to.Addr().Unmap().As4()
		copy(h[12:], src[:])
		copy(h[16:], dst[:])
		setUDP(h[20:], from, to, len(payload))
		return rawHeaderSize
	}
	*h = rawHeader{0: 0x60, 6: unix.IPPROTO_UDP, 7: 64}
	src, dst := from.Addr().As16(), to.Addr().As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	udp := h[40:]
	setUDP(udp, from, to, len(payload))
	copy(h[4:], udp[4:6]) // the length
	// RFC 8200, section 8.1: over both addresses, length, protocol and datagram.
	sum := internetSum(uint64(unix.IPPROTO_UDP)+uint64(8+len(payload)), h[8:])
	sum = ^internetSum(sum, payload)
	if uint16(sum) == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], uint16(sum))
	return rawHeaderSize6
}

func setUDP(udp []byte, from, to netip.AddrPort, payload int) {
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+payload))
}

// internetSum adds to the one's complement sum of 16-bit words (RFC 1071), and
// returns it in 16 bits. Only the last of several pieces may be of odd length.
func internetSum(sum uint64, b []byte) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}
