package dns

import (
	"net/netip"
	"strings"
)

// Zone is what the cluster's names stand for at one moment. Its methods are
// called by several goroutines at once, a few times per query, and what they
// return must not change: who has news makes another Zone, which may share all
// that did not change, and hands it to [Server.SetZone]. Names are given, and
// have to be kept, in lower case. [Table] is a Zone over maps.
type Zone interface {
	// Service returns a service, or nil when there is none of that name.
	Service(namespace, name string) *Service
	// Namespace reports whether there is such a namespace, even if it has no
	// services.
	Namespace(name string) bool
	// Pod reports whether 10-0-0-1.namespace.pod.<domain> is a name. One that
	// says yes to every address lets anybody have a name for any address.
	Pod(namespace string, addr netip.Addr) bool
	// Owners returns whose address it is, for PTR records.
	Owners(addr netip.Addr) []Owner
}

// Service is one service of a cluster: with an ExternalName, an alias for that
// name and nothing else; with Addresses, reached at these; otherwise headless,
// that is as many addresses as it has endpoints, and no name while it has none.
type Service struct {
	Namespace, Name string
	// ExternalName is a domain name, with or without the dot at its end.
	ExternalName string
	// Addresses are the cluster's addresses of the service, of either family.
	Addresses []netip.Addr
	Ports     []Port
	// Endpoints are those that are ready, or all where a service publishes
	// addresses that are not ready. Only headless services need them; others
	// get the endpoints' names of them.
	Endpoints []Endpoint
}

// Port is a port of a service or of an endpoint. Those without a name have no
// _name._protocol record.
type Port struct {
	Name     string
	Protocol string // "TCP", "UDP" or "SCTP"; "": TCP
	Port     uint16
}

// Endpoint is one pod behind a service.
type Endpoint struct {
	// Hostname is the endpoint's name below its service. "": the first
	// address, with dashes.
	Hostname  string
	Addresses []netip.Addr
	// Ports are the ports of the pod. nil: they are those of the service.
	Ports []Port
}

// Owner is a service that has an address of its own, or, with a hostname, an
// endpoint of a headless service.
type Owner struct{ Hostname, Service, Namespace string }

// Label returns the name of e below its service, "" if it has no address.
func (e *Endpoint) Label() string {
	if e.Hostname != "" || len(e.Addresses) == 0 {
		return e.Hostname
	}
	return dashed(e.Addresses[0])
}

func (s *Service) headless() bool { return len(s.Addresses) == 0 && s.ExternalName == "" }

// ports returns the ports at an endpoint.
func (s *Service) ports(e *Endpoint) []Port {
	if e.Ports != nil {
		return e.Ports
	}
	return s.Ports
}

// is reports whether p is a port of that name and protocol, as in a name of an
// SRV record; "" stands for any.
func (p *Port) is(name, protocol string) bool {
	own := p.Protocol
	if own == "" {
		own = "TCP"
	}
	return (name == "" || name == p.Name) && (protocol == "" || strings.EqualFold(protocol, own))
}
