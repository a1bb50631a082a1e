package networks

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// expression is one step of a rule of nftables. Values go through the register 1,
// where no other is given.
type expression struct {
	name string
	put  func(*netlink.Message) // its attributes
}

// The states of a connection that a packet belongs to, as bits in
// NFT_CT_STATE: 1 << (enum ip_conntrack_info + 1).
const (
	established = 1 << 1
	related     = 1 << 2
)

func meta(key uint32) expression { return metaTo(key, unix.NFT_REG_1) }

func metaTo(key, register uint32) expression {
	return expression{"meta", func(m *netlink.Message) {
		m.Big32(unix.NFTA_META_KEY, key).Big32(unix.NFTA_META_DREG, register)
	}}
}

// load reads from one of the packet's headers.
func load(header, offset, size, register uint32) expression {
	return expression{"payload", func(m *netlink.Message) {
		m.Big32(unix.NFTA_PAYLOAD_DREG, register).Big32(unix.NFTA_PAYLOAD_BASE, header)
		m.Big32(unix.NFTA_PAYLOAD_OFFSET, offset).Big32(unix.NFTA_PAYLOAD_LEN, size)
	}}
}

func connection(key uint32) expression {
	return expression{"ct", func(m *netlink.Message) {
		m.Big32(unix.NFTA_CT_KEY, key).Big32(unix.NFTA_CT_DREG, unix.NFT_REG_1)
	}}
}

// compare ends the rule for a packet unless the register compares so.
func compare(op uint32, with []byte) expression {
	return expression{"cmp", func(m *netlink.Message) {
		m.Big32(unix.NFTA_CMP_SREG, unix.NFT_REG_1).Big32(unix.NFTA_CMP_OP, op)
		m.Nest(unix.NFTA_CMP_DATA, func() { m.Attr(unix.NFTA_DATA_VALUE, with) })
	}}
}

// masked leaves those bits of the register that mask has; they are in the
// machine's order, as numbers are in registers.
func masked(mask []byte) expression {
	return expression{"bitwise", func(m *netlink.Message) {
		m.Big32(unix.NFTA_BITWISE_SREG, unix.NFT_REG_1).Big32(unix.NFTA_BITWISE_DREG, unix.NFT_REG_1)
		m.Big32(unix.NFTA_BITWISE_LEN, uint32(len(mask)))
		m.Nest(unix.NFTA_BITWISE_MASK, func() { m.Attr(unix.NFTA_DATA_VALUE, mask) })
		m.Nest(unix.NFTA_BITWISE_XOR, func() { m.Attr(unix.NFTA_DATA_VALUE, make([]byte, len(mask))) })
	}}
}

// within compares the address at an offset of the packet's IP header with a
// subnet.
func within(subnet netip.Prefix, offset, op uint32) []expression {
	addr := subnet.Masked().Addr().AsSlice()
	return []expression{load(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, uint32(len(addr)), unix.NFT_REG_1), masked(mask(subnet.Bits(), len(addr))), compare(op, addr)}
}

func mask(bits, size int) []byte {
	b := make([]byte, 16)
	for i := range bits {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return b[:size]
}

func drop() expression { return verdict(nfDrop) }

// verdict decides about the packet, in this chain.
func verdict(code uint32) expression {
	return expression{"immediate", func(m *netlink.Message) {
		m.Big32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		m.Nest(unix.NFTA_IMMEDIATE_DATA, func() {
			m.Nest(unix.NFTA_DATA_VERDICT, func() { m.Big32(unix.NFTA_VERDICT_CODE, code) })
		})
	}}
}

// NF_DROP and NF_ACCEPT of linux/netfilter.h.
const (
	nfDrop   = 0
	nfAccept = 1
)

// number is a number as it is in a register.
func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
