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

func tableOf(bridge string) table { return table("peapod_" + bridge) }

// protect makes the bridge's table. One that is there is kept unless the bridge
// is new: what is in it comes of the bridge's subnets.
func protect(bridge string, subnets []netip.Prefix, fresh bool) error {
	c, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return fail("speak to", "netfilter", lacking(err, "netfilter (module nfnetlink)"))
	}
	defer c.Close()
	if !fresh && c.Get(tableOf(bridge).get(), nil) == nil {
		return nil
	}
	err = c.Batch(unix.NFNL_SUBSYS_NFTABLES, planTable(bridge, subnets)...)
	return fail("make", tableOf(bridge).String(),
		lacking(err, "nf_tables with masquerading (modules nf_tables, nft_chain_nat, nft_masq, nft_ct)"))
}

// unprotect removes the bridge's table, if there is one.
func unprotect(bridge string) error {
	c, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil // then there is none
	}
	defer c.Close()
	err = c.Batch(unix.NFNL_SUBSYS_NFTABLES, tableOf(bridge).remove())
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return fail("remove", tableOf(bridge).String(), err)
}

// planTable lists the messages that put the table in the place of one that may
// be there.
func planTable(bridge string, subnets []netip.Prefix) []*netlink.Message {
	t := tableOf(bridge)
	list := []*netlink.Message{
		t.make(0), t.remove(), t.make(0),
		t.chain(chainPost, "nat", unix.NF_INET_POST_ROUTING, 100),
		t.chain(chainForward, "filter", unix.NF_INET_FORWARD, 0),
	}
	for _, s := range subnets {
		list = append(list, t.rule(chainPost, masquerade(s)...))
	}
	return append(list, t.rule(chainForward, shield(bridge)...))
}

// masquerade puts the host's address in the place of a pod's in what leaves for
// anywhere but the other pods.
func masquerade(subnet netip.Prefix) []expression {
	f := familyOf(subnet.Addr())
	list := append(f.only(), within(subnet, f.source, unix.NFT_CMP_EQ)...)
	list = append(list, within(subnet, f.destination, unix.NFT_CMP_NEQ)...)
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
