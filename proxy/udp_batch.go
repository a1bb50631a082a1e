package proxy

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call moves at most.
	batchSize = 32
	// maxDatagram is more than UDP can carry.
	maxDatagram = 1 << 16
)

// batch is memory for datagrams. Only the pages that datagrams have touched are
// really there.
type batch struct {
	heads    [batchSize]mmsghdr
	vectors  [batchSize][2]unix.Iovec // of headers, and of data
	headers  [batchSize]rawHeader
	names    [batchSize][unix.SizeofSockaddrInet6]byte
	controls [batchSize][controlSize]byte
	data     [batchSize][maxDatagram]byte
}

// batches are shared by all listeners: who is idle has none.
var batches = sync.Pool{New: func() any {
	b := new(batch)
	for i := range b.heads {
		b.vectors[i][0].Base = &b.headers[i][0]
		b.vectors[i][1].Base = &b.data[i][0]
		b.plain(i)
	}
	return b
}}

// plain has the data alone received or sent.
func (b *batch) plain(i int) {
	b.heads[i].Iov = &b.vectors[i][1]
	b.heads[i].SetIovlen(1)
}

// raw puts a header before the data that is to be sent to a client. It is no more
// than UDP carries: it came by that.
func (b *batch) raw(i int, from netip.AddrPort, to *flow) {
	size := b.headers[i].set(from, netip.AddrPortFrom(to.key.addr(), to.key.port), b.data[i][:b.heads[i].size])
	b.vectors[i][0].SetLen(size)
	if size == rawHeaderSize6 {
		// The port of a raw socket's peer is a protocol, or nothing (ipv6(7)).
		b.names[i] = to.name
		b.names[i][2], b.names[i][3] = 0, 0
		b.heads[i].Name = &b.names[i][0]
	}
	b.heads[i].Iov = &b.vectors[i][0]
	b.heads[i].SetIovlen(2)
}

// room prepares places for receiving: on an unconnected socket together with the
// sender's address and the control messages.
func (b *batch) room(from, to int, unconnected bool) []mmsghdr {
	for i := from; i < to; i++ {
		h := &b.heads[i]
		b.plain(i)
		b.vectors[i][1].SetLen(maxDatagram)
		h.Name, h.Namelen, h.Control, h.Flags = nil, 0, nil, 0
		h.SetControllen(0)
		if unconnected {
			h.Name, h.Namelen = &b.names[i][0], uint32(len(b.names[i]))
			h.Control = &b.controls[i][0]
			h.SetControllen(controlSize)
		}
	}
	return b.heads[from:to]
}

// ready makes what was received ready to be sent: through a connected socket,
// or to a client.
func (b *batch) ready(i int, to *flow) {
	h := &b.heads[i]
	b.vectors[i][1].SetLen(int(h.size))
	h.Name, h.Namelen, h.Control = nil, 0, nil
	h.SetControllen(0)
	if to == nil {
		return
	}
	h.Name, h.Namelen = &to.name[0], uint32(to.nameSize)
	if to.controlSize > 0 {
		h.Control = &to.control[0]
		h.SetControllen(to.controlSize)
	}
}

// flowKey is a client, and which of the proxy's addresses it talks to. IPv4
// addresses are in IPv6 form.
type flowKey struct {
	client, local [16]byte
	port          uint16
	scope         uint32 // of a link-local client: the interface
}

func (k *flowKey) addr() netip.Addr {
	a := netip.AddrFrom16(k.client).Unmap()
	if k.scope != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(k.scope), 10))
	}
	return a
}

// key reads whose the i-th datagram is.
func (b *batch) key(i int) (k flowKey, ok bool) {
	h, name := &b.heads[i], b.names[i][:]
	if h.Namelen < unix.SizeofSockaddrInet4 {
		return k, false
	}
	k.port = binary.BigEndian.Uint16(name[2:])
	switch binary.NativeEndian.Uint16(name) {
	case unix.AF_INET:
		k.client = netip.AddrFrom4([4]byte(name[4:])).As16()
	case unix.AF_INET6:
		k.client = [16]byte(name[8:])
		k.scope = binary.NativeEndian.Uint32(name[24:])
	default:
		return k, false
	}
	k.local = packetInfo(b.controls[i][:min(int(h.Controllen), controlSize)])
	return k, k.port != 0 // nobody can be answered at port 0
}

// Control messages that say, or set, the local address of a datagram: struct
// cmsghdr, then in_pktinfo (ip(7)) or in6_pktinfo (ipv6(7)).
const (
	controlHead = unix.SizeofCmsghdr
	controlSize = 64 // for either, with what alignment adds
)

// packetInfo returns the address to which a datagram was sent, zero where the
// kernel does not tell because it is always the socket's. Of IPv4 it is the one
// that replies come from: for a broadcast not the same.
func packetInfo(b []byte) (local [16]byte) {
	if len(b) < controlHead {
		return local
	}
	level, typ := binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
	switch body := b[controlHead:]; {
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(body) >= unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4([4]byte(body[4:])).As16()
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(body) >= unix.SizeofInet6Pktinfo:
		return [16]byte(body)
	}
	return local
}

// appendPacketInfo makes the control message that sends from a local address,
// on a socket of the given family.
func appendPacketInfo(b []byte, local [16]byte, scope uint32, domain int) []byte {
	level, typ, size := unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo
	if domain == unix.AF_INET6 {
		level, typ, size = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo
	}
	b = binary.NativeEndian.AppendUint64(b, uint64(unix.CmsgLen(size)))
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	b = binary.NativeEndian.AppendUint32(b, uint32(typ))
	if domain == unix.AF_INET6 {
		b = append(b, local[:]...)
		b = binary.NativeEndian.AppendUint32(b, scope)
	} else {
		b = append(b, 0, 0, 0, 0) // any interface
		b = append(b, local[12:]...)
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, make([]byte, unix.CmsgSpace(size)-unix.CmsgLen(size))...)
}
