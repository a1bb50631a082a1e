package networks

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// table is one of nftables, of the family inet, by its name.
type table string

func (t table) String() string { return "nftables' table " + string(t) }

func nftables(typ, flags uint16) *netlink.Message {
	header := []byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}
	return netlink.New(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, header)
}

func (t table) make(flags uint32) *netlink.Message {
	return nftables(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE).String(unix.NFTA_TABLE_NAME, string(t)).Big32(unix.NFTA_TABLE_FLAGS, flags)
}

func (t table) get() *netlink.Message {
	return nftables(unix.NFT_MSG_GETTABLE, 0).String(unix.NFTA_TABLE_NAME, string(t))
}

func (t table) remove() *netlink.Message {
	return nftables(unix.NFT_MSG_DELTABLE, 0).String(unix.NFTA_TABLE_NAME, string(t))
}

func (t table) chain(name, typ string, hook uint32, priority int32) *netlink.Message {
	m := nftables(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE).String(unix.NFTA_CHAIN_TABLE, string(t)).String(unix.NFTA_CHAIN_NAME, name)
	m.Nest(unix.NFTA_CHAIN_HOOK, func() {
		m.Big32(unix.NFTA_HOOK_HOOKNUM, hook).Big32(unix.NFTA_HOOK_PRIORITY, uint32(priority))
	})
	return m.String(unix.NFTA_CHAIN_TYPE, typ)
}

func (t table) rule(chain string, list ...expression) *netlink.Message {
	m := nftables(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	m.String(unix.NFTA_RULE_TABLE, string(t)).String(unix.NFTA_RULE_CHAIN, chain)
	return m.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for _, e := range list {
			m.Nest(unix.NFTA_LIST_ELEM, func() {
				m.String(unix.NFTA_EXPR_NAME, e.name)
				m.Nest(unix.NFTA_EXPR_DATA, func() { e.put(m) })
			})
		}
	})
}

// protocolFamily is how rules see packets of IPv4 or IPv6.
type protocolFamily struct {
	number              byte   // NFPROTO_…
	source, destination uint32 // offsets of the addresses in the header
	size                uint32 // of an address
}

func familyOf(ip netip.Addr) protocolFamily {
	if ip.Is6() {
		return protocolFamily{unix.NFPROTO_IPV6, 8, 24, 16}
	}
	return protocolFamily{unix.NFPROTO_IPV4, 12, 16, 4}
}

// only ends the rule for packets of another family.
func (f protocolFamily) only() []expression {
	return []expression{meta(unix.NFT_META_NFPROTO), compare(unix.NFT_CMP_EQ, []byte{f.number})}
}
