package networks

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// Each bridge has a table of its own, which is made and removed as a whole.
// What nft(8) lists of it:
//
//	table inet peapod_peapod0 {
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			ip saddr 10.213.0.0/22 ip daddr != 10.213.0.0/22 masquerade
//			ip6 saddr fd6c:1:2::/64 ip6 daddr != fd6c:1:2::/64 masquerade
//		}
//		chain forward {
//			type filter hook forward priority filter; policy accept;
//			iifname != "peapod0" oifname "peapod0" ct state invalid,new,untracked drop
//		}
//	}
const (
	chainPost    = "postrouting"
	chainForward = "forward"
)

func tableName(bridge string) string { return "peapod_" + bridge }

// protect makes the bridge's table. One that is there is kept unless the bridge
// is new: what is in it comes of the bridge's subnets.
func protect(bridge string, subnets []netip.Prefix, fresh bool) error {
	c, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return fail("speak to", "netfilter", lacking(err, "netfilter (module nfnetlink)"))
	}
	defer c.Close()
	if !fresh && c.Get(table(unix.NFT_MSG_GETTABLE, bridge), nil) == nil {
		return nil
	}
	err = c.Batch(unix.NFNL_SUBSYS_NFTABLES, planTable(bridge, subnets)...)
	return fail("make", "nftables' table "+tableName(bridge),
		lacking(err, "nf_tables with masquerading (modules nf_tables, nft_chain_nat, nft_masq, nft_ct)"))
}

// unprotect removes the bridge's table, if there is one.
func unprotect(bridge string) error {
	c, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil // then there is none
	}
	defer c.Close()
	err = c.Batch(unix.NFNL_SUBSYS_NFTABLES, table(unix.NFT_MSG_DELTABLE, bridge))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return fail("remove", "nftables' table "+tableName(bridge), err)
}

// planTable lists the messages that put the table in the place of one that may
// be there.
func planTable(bridge string, subnets []netip.Prefix) []*netlink.Message {
	list := []*netlink.Message{
		table(unix.NFT_MSG_NEWTABLE, bridge), table(unix.NFT_MSG_DELTABLE, bridge), table(unix.NFT_MSG_NEWTABLE, bridge),
		chain(bridge, chainPost, "nat", unix.NF_INET_POST_ROUTING, 100),
		chain(bridge, chainForward, "filter", unix.NF_INET_FORWARD, 0),
	}
	for _, s := range subnets {
		list = append(list, rule(bridge, chainPost, masquerade(s)...))
	}
	return append(list, rule(bridge, chainForward, shield(bridge)...))
}

func nftables(typ, flags uint16) *netlink.Message {
	header := []byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}
	return netlink.New(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, header)
}

func table(typ uint16, bridge string) *netlink.Message {
	flags := uint16(0)
	if typ == unix.NFT_MSG_NEWTABLE {
		flags = unix.NLM_F_CREATE
	}
	return nftables(typ, flags).String(unix.NFTA_TABLE_NAME, tableName(bridge))
}

func chain(bridge, name, typ string, hook uint32, priority int32) *netlink.Message {
	m := nftables(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE).String(unix.NFTA_CHAIN_TABLE, tableName(bridge)).String(unix.NFTA_CHAIN_NAME, name)
	m.Nest(unix.NFTA_CHAIN_HOOK, func() {
		m.Big32(unix.NFTA_HOOK_HOOKNUM, hook).Big32(unix.NFTA_HOOK_PRIORITY, uint32(priority))
	})
	return m.String(unix.NFTA_CHAIN_TYPE, typ)
}

func rule(bridge, chain string, list ...expression) *netlink.Message {
	m := nftables(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	m.String(unix.NFTA_RULE_TABLE, tableName(bridge)).String(unix.NFTA_RULE_CHAIN, chain)
	return m.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for _, e := range list {
			m.Nest(unix.NFTA_LIST_ELEM, func() {
				m.String(unix.NFTA_EXPR_NAME, e.name)
				m.Nest(unix.NFTA_EXPR_DATA, func() { e.put(m) })
			})
		}
	})
}

// masquerade puts the host's address in the place of a pod's in what leaves for
// anywhere but the other pods.
func masquerade(subnet netip.Prefix) []expression {
	proto, source, to := byte(unix.NFPROTO_IPV4), uint32(12), uint32(16)
	if subnet.Addr().Is6() {
		proto, source, to = unix.NFPROTO_IPV6, 8, 24
	}
	list := []expression{meta(unix.NFT_META_NFPROTO), compare(unix.NFT_CMP_EQ, []byte{proto})}
	list = append(list, within(subnet, source, unix.NFT_CMP_EQ)...)
	list = append(list, within(subnet, to, unix.NFT_CMP_NEQ)...)
	return append(list, expression{"masq", func(*netlink.Message) {}})
}

// shield drops what is forwarded to pods and is no answer to them: a pod's ports
// are open to the host and its other pods only.
func shield(bridge string) []expression {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, bridge)
	return []expression{
		meta(unix.NFT_META_IIFNAME), compare(unix.NFT_CMP_NEQ, name),
		meta(unix.NFT_META_OIFNAME), compare(unix.NFT_CMP_EQ, name),
		connection(unix.NFT_CT_STATE), masked(number(established | related)), compare(unix.NFT_CMP_EQ, make([]byte, 4)),
		drop(),
	}
}
