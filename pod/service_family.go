package pod

import (
	"net/netip"
	"slices"
)

// Families of addresses, and how many of them a service has, in Kubernetes' words.
const (
	familyIPv4 = "IPv4"
	familyIPv6 = "IPv6"

	singleStack      = "SingleStack"
	preferDualStack  = "PreferDualStack"
	requireDualStack = "RequireDualStack"
)

func familyOf(ip netip.Addr) string {
	if ip.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// familyPolicy is the service's; two addresses or families are both wanted.
func (s *ServiceSpec) familyPolicy() string {
	switch {
	case s.IPFamilyPolicy != "":
		return s.IPFamilyPolicy
	case len(s.ClusterIPs) > 1 || len(s.IPFamilies) > 1:
		return requireDualStack
	}
	return singleStack
}

// forwards tells whether the service has addresses of its own.
func (s *ServiceSpec) forwards() bool {
	return s.Type != ServiceExternalName && s.ClusterIP != HeadlessIP
}

// families are those that the service is to have, and the field that asks for the
// last one. usual is the family of a service that asks for none.
func (s *ServiceSpec) families(usual string) (list []string, field string) {
	field = "spec.clusterIP"
	for _, text := range s.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			list = append(list, familyOf(ip))
		}
	}
	if len(s.IPFamilies) > len(list) {
		list, field = slices.Clone(s.IPFamilies), "spec.ipFamilies"
	}
	if len(list) == 0 {
		list = []string{usual}
	}
	if len(list) == 1 && s.familyPolicy() != singleStack {
		other := map[string]string{familyIPv4: familyIPv6, familyIPv6: familyIPv4}
		list, field = append(list, other[list[0]]), "spec.ipFamilyPolicy"
	}
	return list, field
}

// address gives the service its addresses, one of each of its families.
func (a *allocator) address(s *Service) error {
	if !s.Spec.forwards() {
		return nil
	}
	families, field := s.Spec.families(familyOf(a.ranges[0].Addr()))
	asked := s.Spec.ClusterIPs
	s.Spec.ClusterIPs = nil
	var have []string
	for i, family := range families {
		text := ""
		if i < len(asked) {
			text = asked[i]
		}
		ip, why, err := a.one(s, family, text)
		switch {
		case why != nil && i > 0 && s.Spec.IPFamilyPolicy == preferDualStack:
			continue
		case why != nil:
			return s.Errorf(field, "%w", why)
		case err != nil:
			return err
		}
		s.Spec.ClusterIPs, have = append(s.Spec.ClusterIPs, ip.String()), append(have, family)
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	if s.Spec.IPFamilyPolicy != "" || len(have) > 1 || have[0] == familyIPv6 {
		s.Spec.IPFamilyPolicy, s.Spec.IPFamilies = s.Spec.familyPolicy(), have
	}
	return nil
}

// one is an address of a family: the one that is asked for, or, if that is "", a free
// one. why tells that the machine has none of the range.
func (a *allocator) one(s *Service, family, asked string) (ip netip.Addr, why, err error) {
	within := a.ranges[slices.IndexFunc(a.ranges, func(p netip.Prefix) bool { return familyOf(p.Addr()) == family })]
	if asked != "" {
		if ip, err = netip.ParseAddr(asked); err != nil {
			return ip, nil, s.Errorf("spec.clusterIP", "%w", err)
		}
		if p := a.within(ip); p.IsValid() {
			within = p
		} else {
			return ip, nil, s.Errorf("spec.clusterIP", "%s is not one of %s, from which services have their addresses; leave it out for one that is free, or choose another range (--service-cidr)", ip, within)
		}
	}
	if why := a.local(within); why != nil {
		return ip, why, nil
	}
	if asked == "" {
		var ok bool
		if ip, ok = a.free(within, s.Metadata.Name); !ok {
			return ip, nil, s.Errorf("spec.clusterIP", "all addresses of %s are taken; stop other services", within)
		}
	} else if owner, ok := a.addresses[ip]; ok {
		return ip, nil, s.Errorf("spec.clusterIP", "%s is service %s's; choose another, or leave the field out", ip, owner)
	}
	return ip, nil, nil
}

// local tells why a range cannot be made local, if that is so.
func (a *allocator) local(p netip.Prefix) error {
	if isLocal(p) || a.usable == nil {
		return nil
	}
	return a.usable(p)
}

// within is the range of an address: of those given, or by default.
func (a *allocator) within(ip netip.Addr) netip.Prefix {
	for _, p := range append(slices.Clone(a.ranges), serviceRange, serviceRange6) {
		if p.Contains(ip) {
			return p
		}
	}
	return netip.Prefix{}
}

// toMakeLocal are the ranges of a service's addresses that are not local everywhere.
func (a *allocator) toMakeLocal(s *Service) (list []netip.Prefix) {
	for _, ip := range s.addresses() {
		if p := a.within(ip); p.IsValid() && !isLocal(p) && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// free finds a free address, beginning at one that depends on the name.
func (a *allocator) free(within netip.Prefix, name string) (netip.Addr, bool) {
	for ip := range candidates(within, name) {
		if a.addresses[ip] == "" {
			return ip, true
		}
	}
	return netip.Addr{}, false
}
