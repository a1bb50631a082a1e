package networks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A pod's number on its bridge is the host part of its addresses. 1 is the
// gateway's.
const (
	firstNumber = 2
	// lastNumber is beyond what a bridge takes (BR_MAX_PORTS is 1024), so that
	// an address that was given back rests for a while.
	lastNumber = 4094
)

// highest is the greatest number that has an address in each of the subnets.
func highest(subnets []netip.Prefix) int {
	most := lastNumber
	for _, p := range subnets {
		host := p.Addr().BitLen() - p.Bits()
		if host > 12 {
			continue
		}
		n := 1<<host - 1
		if p.Addr().Is4() {
			n-- // the last is for broadcasts
		}
		most = min(most, n)
	}
	return most
}

// numbered is the address with a number in a subnet, with the subnet's length.
func numbered(subnet netip.Prefix, n int) netip.Prefix {
	bytes := subnet.Masked().Addr().AsSlice()
	low := bytes[len(bytes)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)|uint32(n))
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(addr, subnet.Bits())
}

func allNumbered(subnets []netip.Prefix, n int) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(subnets))
	for _, p := range subnets {
		list = append(list, numbered(p, n))
	}
	return list
}

// hardware is the link layer address for a network address: an address that
// goes from one pod to the next takes it along, so that what neighbours remember
// of it stays true. It is a locally administered one.
func hardware(addr netip.Addr) []byte {
	bytes := addr.AsSlice()
	return slices.Concat(hardwarePrefix, bytes[len(bytes)-4:])
}

// hardwarePrefix is what the hardware addresses that come of network addresses
// begin with.
var hardwarePrefix = []byte{0x02, 'p'}

// randomHardware is one that nobody else has.
func randomHardware() []byte {
	b := random(6)
	b[0] = b[0]&^1 | 2
	return b
}

// linkName is the name of a pod's link on the host.
func linkName(bridge string, n int) string { return fmt.Sprintf("%s-%d", bridge, n) }

// linkNumber is the opposite of linkName.
func linkNumber(bridge, link string) (int, bool) {
	text, ok := strings.CutPrefix(link, bridge+"-")
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n >= firstNumber && n <= lastNumber && linkName(bridge, n) == link
}

// ranges are where subnets for a new bridge are looked for. Others that share
// out addresses on their own keep to 172.17 to 172.31, 10.42, 10.88, 10.96 and
// 10.244.
var ranges = []netip.Prefix{
	netip.MustParsePrefix("10.213.0.0/16"),
	netip.MustParsePrefix("192.168.128.0/17"),
	netip.MustParsePrefix("172.30.0.0/16"),
}

// subnetBits is the length of a chosen IPv4 subnet: as many pods as a bridge
// takes.
const subnetBits = 22

// chooseSubnet finds an IPv4 subnet that overlaps with none of those in use.
func chooseSubnet(used []netip.Prefix) (netip.Prefix, error) {
	for _, r := range ranges {
		first := binary.BigEndian.Uint32(r.Addr().AsSlice())
		for i := range uint32(1) << (subnetBits - r.Bits()) {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], first+i<<(32-subnetBits))
			p := netip.PrefixFrom(netip.AddrFrom4(b), subnetBits)
			if !slices.ContainsFunc(used, p.Overlaps) {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("%w: the host has routes into all of %v; choose one, such as bridge,subnet=100.64.7.0/24", ErrClash, ranges)
}
