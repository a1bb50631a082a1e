package pod

import (
	"fmt"
	"net/netip"
)

// Validate checks what the types cannot. The error is an *Errors, as
// Pod.Validate's.
func (e *Endpoints) Validate() error {
	ps := &problems{object: e}
	ps.metadata(&e.Metadata)
	ps.serviceName(&e.Metadata)
	ps.noAnnotations(e.Metadata.Annotations)
	for i := range e.Subsets {
		ps.subset(fmt.Sprintf("subsets[%d]", i), &e.Subsets[i])
	}
	return ps.errs.Err()
}

func (ps *problems) subset(at string, s *EndpointSubset) {
	if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
		ps.addf(at+".addresses", "missing; write at least one {ip: ADDRESS}")
	}
	seen := map[string]string{}
	ps.endpointIPs(seen, at+".addresses", s.Addresses)
	ps.endpointIPs(seen, at+".notReadyAddresses", s.NotReadyAddresses)
	ps.endpointPorts(at+".ports", s.Ports)
}

func (ps *problems) endpointPorts(at string, ports []EndpointPort) {
	names := map[string]int{}
	for i := range ports {
		p, at := &ports[i], fmt.Sprintf("%s[%d]", at, i)
		ps.servicePortName(at+".name", p.Name, len(ports))
		ps.unique(names, i, at+".name", "ports[%d]", p.Name)
		ps.neededPort(at+".port", p.Port)
		ps.protocol(at+".protocol", p.Protocol)
	}
	if len(ports) == 0 {
		ps.addf(at, "missing; write at least one {port: NUMBER}")
	}
}

func (ps *problems) endpointIPs(seen map[string]string, at string, list []EndpointAddress) {
	for i, a := range list {
		entry := fmt.Sprintf("%s[%d]", at, i)
		ip := ps.endpointIP(entry+".ip", a.IP)
		if a.Hostname != "" {
			ps.label(entry+".hostname", a.Hostname)
		}
		if first, ok := seen[ip]; ok && ip != "" {
			ps.addf(entry+".ip", "duplicate %q: %s has it already", a.IP, first)
			continue
		}
		seen[ip] = entry
	}
}

// endpointIP checks an address and returns it in its usual form.
func (ps *problems) endpointIP(at, text string) string {
	addr, err := netip.ParseAddr(text)
	switch {
	case text == "":
		ps.addf(at, "missing; use an IP address")
	case err != nil || addr.Zone() != "":
		ps.addf(at, "%q is not an IP address: names are not looked up here; a Service of the type ExternalName stands for a name", text)
	case addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast():
		ps.addf(at, "%s cannot be connected to as an endpoint; use the address of one machine", text)
	default:
		return addr.Unmap().String()
	}
	return ""
}
