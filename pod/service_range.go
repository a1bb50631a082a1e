package pod

import (
	"fmt"
	"net/netip"
	"slices"
)

// The ranges that addresses of services are of where Store.ServiceRanges has none
// of the family. Of IPv6 only ::1 is local everywhere, so that the range is made
// local as those of others; it is a unique local one (RFC 4193) that never leaves
// the machine.
var (
	serviceRange  = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 96}), 16)
	serviceRange6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 'p', 'e', 'a', 'p', 'o', 'd'}), 112)
)

// CheckServiceRanges tells whether addresses of services can be taken from ranges:
// at most one of each family, and none that programs have other uses for.
func CheckServiceRanges(list []netip.Prefix) error {
	for i, p := range list {
		if err := checkServiceRange(p); err != nil {
			return fmt.Errorf("service range %s: %w", p, err)
		}
		if i > 0 && slices.ContainsFunc(list[:i], func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }) {
			return fmt.Errorf("service range %s: there is one of the family already; give one of IPv4, one of IPv6, or both", p)
		}
	}
	return nil
}

func checkServiceRange(p netip.Prefix) error {
	a, least, most := p.Addr(), 8, 30
	if a.Is6() {
		least, most = 32, 126
	}
	switch {
	case !p.IsValid() || a.Is4In6():
		return fmt.Errorf("it is no range of addresses; write for instance 10.96.0.0/16")
	case p != p.Masked():
		return fmt.Errorf("it has bits beyond its length; write %s", p.Masked())
	case p.Bits() < least || p.Bits() > most:
		return fmt.Errorf("its length is to be %d to %d", least, most)
	case a.IsLoopback() && (p.Bits() < serviceRange.Bits() || !serviceRange.Contains(a)):
		return fmt.Errorf("programs use loopback addresses themselves; of these only %s is for services", serviceRange)
	case p.Overlaps(netip.PrefixFrom(netip.IPv4Unspecified(), 8)), !a.IsLoopback() && !a.IsGlobalUnicast(), a.Is4() && a.As4()[0] >= 224:
		return fmt.Errorf("these are no addresses of hosts; take private ones, for instance 10.96.0.0/16")
	}
	return nil
}

// serviceRanges are those of both families, first the one that a service is of which
// asks for none.
func (s *Store) serviceRanges() []netip.Prefix {
	list := slices.Clone(s.ServiceRanges)
	for _, p := range []netip.Prefix{serviceRange, serviceRange6} {
		if !slices.ContainsFunc(list, func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }) {
			list = append(list, p)
		}
	}
	return list
}

// within is the range of one of the service's addresses, as the record has it, for
// all who forward: they need not agree on where others take theirs from.
func (r *ServiceRecord) within(ip netip.Addr) netip.Prefix {
	for _, p := range r.Ranges {
		if p.Contains(ip) {
			return p
		}
	}
	return bothRanges
}
