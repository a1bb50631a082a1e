package networks

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// endpoint is a key of a portMap.
type endpoint struct {
	protocol int // IPPROTO_TCP, IPPROTO_UDP
	addr     netip.AddrPort
}

// portMap is a map of a table, by name, from an address, a protocol and a port to a
// port: `type ipv4_addr . inet_proto . inet_service : inet_service`.
type portMap struct {
	table table
	name  string
}

// What nft(8) calls the types (enum datatypes), and by how many bits it puts one
// behind the other in a concatenation. The kernel does not look at them.
const (
	typeIPv4, typeIPv6, typeProtocol, typePort = 7, 8, 12, 13
	typeBits                                   = 6
)

// make is a message that makes the map. Its id is of the batch.
func (p portMap) make(f protocolFamily, id uint32) *netlink.Message {
	addr := uint32(typeIPv4)
	if f.number == unix.NFPROTO_IPV6 {
		addr = typeIPv6
	}
	m := nftables(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE).String(unix.NFTA_SET_TABLE, string(p.table)).String(unix.NFTA_SET_NAME, p.name)
	m.Big32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP).Big32(unix.NFTA_SET_ID, id)
	m.Big32(unix.NFTA_SET_KEY_TYPE, (addr<<typeBits|typeProtocol)<<typeBits|typePort).Big32(unix.NFTA_SET_KEY_LEN, f.size+4+4)
	return m.Big32(unix.NFTA_SET_DATA_TYPE, typePort).Big32(unix.NFTA_SET_DATA_LEN, 2)
}

func (p portMap) add(key endpoint, port uint16) *netlink.Message {
	return p.element(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, key, binary.BigEndian.AppendUint16(nil, port))
}

func (p portMap) remove(key endpoint) *netlink.Message {
	return p.element(unix.NFT_MSG_DELSETELEM, 0, key, nil)
}

func (p portMap) element(typ, flags uint16, key endpoint, data []byte) *netlink.Message {
	m := nftables(typ, flags).String(unix.NFTA_SET_ELEM_LIST_TABLE, string(p.table)).String(unix.NFTA_SET_ELEM_LIST_SET, p.name)
	return m.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			m.Nest(unix.NFTA_SET_ELEM_KEY, func() { m.Attr(unix.NFTA_DATA_VALUE, key.value()) })
			if data != nil {
				m.Nest(unix.NFTA_SET_ELEM_DATA, func() { m.Attr(unix.NFTA_DATA_VALUE, data) })
			}
		})
	})
}

// value is the key as rules have it in registers: each part begins a register of 32
// bits.
func (e endpoint) value() []byte {
	b := append(e.addr.Addr().AsSlice(), byte(e.protocol), 0, 0, 0)
	return append(binary.BigEndian.AppendUint16(b, e.addr.Port()), 0, 0)
}

// find looks a packet up, by its source or destination, and has what is found in
// the register 1; it ends the rule for a packet that is not there.
func (p portMap) find(f protocolFamily, addr, port uint32) []expression {
	behind := uint32(unix.NFT_REG32_00) + f.size/unix.NFT_REG32_SIZE
	return []expression{
		load(unix.NFT_PAYLOAD_NETWORK_HEADER, addr, f.size, unix.NFT_REG_1),
		metaTo(unix.NFT_META_L4PROTO, behind),
		load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, port, 2, behind+1),
		{"lookup", func(m *netlink.Message) {
			m.String(unix.NFTA_LOOKUP_SET, p.name).Big32(unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1).Big32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_1)
		}},
	}
}
