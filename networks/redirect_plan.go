package networks

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// What nft(8) lists of a Redirect with a service, and the DNS server's exception,
// where IPv6 has the same:
//
//	table inet peapod_services { # progname peapod
//		flags owner
//		map begin4 {
//			type ipv4_addr . inet_proto . inet_service : inet_service
//			elements = { 127.96.1.1 . tcp . 80 : 41234 }
//		}
//		map open4 {
//			type ipv4_addr . inet_proto . inet_service : inet_service
//			elements = { 127.96.1.1 . tcp . 80 : 41234 }
//		}
//		map back4 {
//			type ipv4_addr . inet_proto . inet_service : inet_service
//			elements = { 127.96.1.1 . tcp . 41234 : 80, 127.96.0.10 . udp . 53 : 53 }
//		}
//		chain lead {
//			type filter hook output priority raw; policy accept;
//			ip daddr 127.96.0.0/15 tcp flags syn / fin,syn,rst,ack tcp dport set ip daddr . meta l4proto . tcp dport map @begin4
//			ip daddr 127.96.0.0/15 tcp flags != syn / fin,syn,rst,ack tcp dport set ip daddr . meta l4proto . tcp dport map @open4
//			ip daddr 127.96.0.0/15 udp checksum != 0 udp dport set ip daddr . meta l4proto . udp dport map @begin4
//			ip daddr 127.96.0.0/15 udp checksum 0 udp dport set …
//		}
//		chain answer {
//			type filter hook output priority mangle; policy accept;
//			ip saddr 127.96.0.0/15 tcp sport set ip saddr . meta l4proto . tcp sport map @back4
//			…
//		}
//		chain refuse {
//			type filter hook input priority filter; policy accept;
//			ip daddr 127.96.0.0/15 tcp flags syn / fin,syn,rst,ack ip daddr . meta l4proto . tcp dport map @back4 != 0 accept
//			ip daddr 127.96.0.0/15 tcp flags syn / fin,syn,rst,ack reject with tcp reset
//			ip daddr 127.96.0.0/15 ip daddr . meta l4proto . udp dport map @back4 != 0 accept
//			ip daddr 127.96.0.0/15 meta l4proto udp reject
//		}
//	}
//
// What begins is led by one map and what goes on by another one: a service without
// endpoints refuses the former alone. Refusing is for the side that receives, or
// else sendto(2) were refused with EPERM. Whoever tracks connections there does so
// between the first chain and the second (priority -200), and so sees the port that
// the socket is bound to both ways.
const (
	chainLead   = "lead"
	chainAnswer = "answer"
	chainRefuse = "refuse"

	priorityRaw    = -300
	priorityMangle = -150
	priorityFilter = 0
)

// redirectMaps are those of one family.
type redirectMaps struct {
	begin, open, back portMap
}

func mapsOf(ip netip.Addr) redirectMaps {
	suffix := "4"
	if ip.Is6() {
		suffix = "6"
	}
	of := func(name string) portMap { return portMap{redirectTable, name + suffix} }
	return redirectMaps{of("begin"), of("open"), of("back")}
}

// planRedirect makes the table without any range.
func planRedirect() []*netlink.Message {
	t := redirectTable
	list := []*netlink.Message{
		t.make(ownedTable),
		t.chain(chainLead, "filter", unix.NF_INET_LOCAL_OUT, priorityRaw),
		t.chain(chainAnswer, "filter", unix.NF_INET_LOCAL_OUT, priorityMangle),
		t.chain(chainRefuse, "filter", unix.NF_INET_LOCAL_IN, priorityFilter),
	}
	id := uint32(0)
	for _, ip := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		maps := mapsOf(ip)
		for _, m := range []portMap{maps.begin, maps.open, maps.back} {
			id++
			list = append(list, m.make(familyOf(ip), id))
		}
	}
	return list
}

// Offsets in the headers of TCP and UDP.
const (
	sourcePort      = 0
	destinationPort = 2
	tcpFlags        = 13
	tcpChecksum     = 16
	udpChecksum     = 6
)

// The flags of TCP, of which a packet that begins a connection has the second alone.
const tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

// planRange makes the rules for a range of addresses, other than but.
func planRange(p netip.Prefix, but netip.Addr) (list []*netlink.Message) {
	f, maps := familyOf(p.Addr()), mapsOf(p.Addr())
	rule := func(chain string, parts ...[]expression) {
		var all []expression
		for _, part := range parts {
			all = append(all, part...)
		}
		list = append(list, redirectTable.rule(chain, all...))
	}
	tcp, udp := protocol(unix.IPPROTO_TCP), protocol(unix.IPPROTO_UDP)
	begins, goesOn := tcpBegins(unix.NFT_CMP_EQ), tcpBegins(unix.NFT_CMP_NEQ)
	checked, unchecked := udpSum(unix.NFT_CMP_NEQ), udpSum(unix.NFT_CMP_EQ)

	to := append(f.only(), within(p, f.destination, unix.NFT_CMP_EQ)...)
	begin, open := maps.begin.find(f, f.destination, destinationPort), maps.open.find(f, f.destination, destinationPort)
	rule(chainLead, to, tcp, begins, begin, setPort(destinationPort, tcpChecksum))
	rule(chainLead, to, tcp, goesOn, open, setPort(destinationPort, tcpChecksum))
	rule(chainLead, to, udp, checked, begin, setPort(destinationPort, udpChecksum))
	rule(chainLead, to, udp, unchecked, begin, setPort(destinationPort, 0))

	from := append(f.only(), within(p, f.source, unix.NFT_CMP_EQ)...)
	back := maps.back.find(f, f.source, sourcePort)
	rule(chainAnswer, from, tcp, back, setPort(sourcePort, tcpChecksum))
	rule(chainAnswer, from, udp, checked, back, setPort(sourcePort, udpChecksum))
	rule(chainAnswer, from, udp, unchecked, back, setPort(sourcePort, 0))

	accept := []expression{verdict(nfAccept)}
	if but.IsValid() {
		rule(chainRefuse, f.only(), within(netip.PrefixFrom(but, but.BitLen()), f.destination, unix.NFT_CMP_EQ), accept)
	}
	arrives := append(maps.back.find(f, f.destination, destinationPort), compare(unix.NFT_CMP_NEQ, []byte{0, 0})) // for nft(8) to show it
	rule(chainRefuse, to, tcp, begins, arrives, accept)
	rule(chainRefuse, to, tcp, begins, reject(unix.NFT_REJECT_TCP_RST))
	rule(chainRefuse, to, udp, arrives, accept)
	rule(chainRefuse, to, udp, reject(unix.NFT_REJECT_ICMPX_UNREACH))
	return list
}

func protocol(number byte) []expression {
	return []expression{meta(unix.NFT_META_L4PROTO), compare(unix.NFT_CMP_EQ, []byte{number})}
}

func tcpBegins(op uint32) []expression {
	return []expression{
		load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, tcpFlags, 1, unix.NFT_REG_1),
		masked([]byte{tcpFIN | tcpSYN | tcpRST | tcpACK}), compare(op, []byte{tcpSYN}),
	}
}

// udpSum compares the checksum with 0, which says that there is none.
func udpSum(op uint32) []expression {
	return []expression{load(unix.NFT_PAYLOAD_TRANSPORT_HEADER, udpChecksum, 2, unix.NFT_REG_1), compare(op, []byte{0, 0})}
}

// setPort writes the register 1 into the packet, and mends the checksum at an
// offset, unless that is 0.
func setPort(offset, checksum uint32) []expression {
	return []expression{{"payload", func(m *netlink.Message) {
		m.Big32(unix.NFTA_PAYLOAD_SREG, unix.NFT_REG_1).Big32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER)
		m.Big32(unix.NFTA_PAYLOAD_OFFSET, offset).Big32(unix.NFTA_PAYLOAD_LEN, 2)
		if checksum != 0 {
			m.Big32(unix.NFTA_PAYLOAD_CSUM_TYPE, unix.NFT_PAYLOAD_CSUM_INET).Big32(unix.NFTA_PAYLOAD_CSUM_OFFSET, checksum)
		}
	}}}
}

// reject refuses the packet, by a reset of TCP or, of ICMP, that nobody has the port.
func reject(how uint32) []expression {
	return []expression{{"reject", func(m *netlink.Message) {
		m.Big32(unix.NFTA_REJECT_TYPE, how)
		if how == unix.NFT_REJECT_ICMPX_UNREACH {
			m.Uint8(unix.NFTA_REJECT_ICMP_CODE, unix.NFT_REJECT_ICMPX_PORT_UNREACH)
		}
	}}}
}
