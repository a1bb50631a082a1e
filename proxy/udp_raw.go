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

// rawHeaderSize is the size of a rawHeader.
const rawHeaderSize = 20 + 8

// rawHeader is what stands before a datagram's payload: an IPv4 header, of which
// the kernel fills in length, identification and checksum, and a UDP header without
// a checksum, which IPv4 allows (RFC 768).
type rawHeader [rawHeaderSize]byte

// set makes the header of a datagram with a payload of that many bytes.
func (h *rawHeader) set(from, to netip.AddrPort, payload int) {
	*h = rawHeader{0: 0x45, 8: 64, 9: unix.IPPROTO_UDP}
	src, dst := from.Addr().Unmap().As4(), to.Addr().Unmap().As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	udp := h[20:]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+payload))
}
