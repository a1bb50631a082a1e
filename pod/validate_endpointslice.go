package pod

import (
	"fmt"
	"net/netip"
)

// Kubernetes' limit for one endpoint.
const maxSliceAddresses = 100

// Validate checks what the types cannot. The error is an *Errors, as
// Pod.Validate's.
func (e *EndpointSlice) Validate() error {
	ps := &problems{object: e}
	ps.metadata(&e.Metadata)
	ps.serviceName(&Metadata{Namespace: e.Metadata.Namespace})
	ps.noAnnotations(e.Metadata.Annotations)
	if e.Service() == "" {
		ps.addf("metadata.labels", "missing: the label %s with the name of the service", LabelServiceName)
	}
	switch e.AddressType {
	case "IPv4", "IPv6":
	case "":
		ps.addf("addressType", "missing; use IPv4 or IPv6")
	case "FQDN":
		ps.addf("addressType", "FQDN is not supported: names are not looked up here; a Service of the type ExternalName stands for a name")
	default:
		ps.oneOf("addressType", e.AddressType, "IPv4", "IPv6")
	}
	for i := range e.Endpoints {
		ps.sliceEndpoint(fmt.Sprintf("endpoints[%d]", i), e.AddressType, &e.Endpoints[i])
	}
	ps.endpointPorts("ports", e.Ports)
	return ps.errs.Err()
}

func (ps *problems) sliceEndpoint(at, family string, e *SliceEndpoint) {
	if n := len(e.Addresses); n == 0 || n > maxSliceAddresses {
		ps.addf(at+".addresses", "found %d; write 1 to %d", n, maxSliceAddresses)
	}
	if e.Hostname != "" {
		ps.label(at+".hostname", e.Hostname)
	}
	for i, text := range e.Addresses {
		at := fmt.Sprintf("%s.addresses[%d]", at, i)
		ps.endpointIP(at, text)
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() != (family == "IPv4") && (family == "IPv4" || family == "IPv6") {
			ps.addf(at, "%s is not an address of %s, as addressType says", text, family)
		}
	}
}
