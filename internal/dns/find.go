package dns

import (
	"net/netip"
	"strings"
)

// kind says what a name of the cluster's domain is.
type kind int

const (
	nothing    kind = iota // no such name
	empty                  // there are names below it
	apex                   // the domain
	nameserver             // of the domain
	version                // of the schema
	pod                    // an address
	service                // a service, or one of its endpoints, or one of its ports
)

// node is what a name of the cluster's domain stands for.
type node struct {
	kind kind
	addr netip.Addr // of a pod

	// Of a service, restricted to what the name says beside it.
	service                  *Service
	hostname, port, protocol string
}

// find looks up a name, given without the domain. It knows the names that the
// DNS specification of Kubernetes has, and the empty ones above them: that a
// name does not exist has to be said with care, since it covers all names below
// (RFC 8020), and that it has no records too, since musl ends a search there.
func find(z Zone, rest string) node {
	var l [5]string
	n, ok := labels(rest, l[:])
	switch {
	case !ok:
	case n == 0:
		return node{kind: apex}
	case l[0] == "svc":
		return findService(z, l[1:n])
	case l[0] == "pod":
		return findPod(z, l[1:n])
	case rest == "dns-version":
		return node{kind: version}
	case rest == "ns.dns":
		return node{kind: nameserver}
	case rest == "dns":
		return node{kind: empty}
	}
	return node{}
}

// findService gets the labels before svc, last label first.
func findService(z Zone, l []string) node {
	if len(l) < 2 {
		return findNamespace(z, l)
	}
	s := z.Service(l[0], l[1])
	if s == nil {
		return node{}
	}
	n := node{kind: service, service: s}
	switch len(l) {
	case 2:
		if s.headless() && len(s.Endpoints) == 0 {
			return node{} // the specification wants it so
		}
		return n
	case 3:
		if strings.HasPrefix(l[2], "_") {
			n.protocol = l[2][1:]
			return only(n.protocol != "" && n.hasPort(), node{kind: empty})
		}
		n.hostname = l[2]
		return only(n.hasEndpoint(), n)
	}
	if !strings.HasPrefix(l[2], "_") || !strings.HasPrefix(l[3], "_") {
		return node{}
	}
	n.protocol, n.port = l[2][1:], l[3][1:]
	return only(n.protocol != "" && n.port != "" && n.hasPort(), n)
}

// only returns n if it exists.
func only(exists bool, n node) node {
	if exists {
		return n
	}
	return node{}
}

// findNamespace is for svc, pod and the namespaces below.
func findNamespace(z Zone, l []string) node {
	if len(l) == 0 || z.Namespace(l[0]) {
		return node{kind: empty}
	}
	return node{}
}

func findPod(z Zone, l []string) node {
	switch len(l) {
	case 0, 1:
		return findNamespace(z, l)
	case 2:
		if a, ok := undashed(l[1]); ok && z.Pod(l[0], a) {
			return node{kind: pod, addr: a}
		}
	}
	return node{}
}

func (n node) hasPort() bool {
	var buf [1]target
	return len(n.targets(buf[:0])) > 0
}

func (n node) hasEndpoint() bool {
	for range n.endpoints {
		return true
	}
	return false
}

// endpoints yields the endpoints that n is about, none for a service that has
// addresses of its own.
func (n node) endpoints(yield func(*Endpoint) bool) {
	if n.service.ExternalName != "" || n.hostname == "" && !n.service.headless() {
		return
	}
	for i := range n.service.Endpoints {
		e := &n.service.Endpoints[i]
		if n.hostname != "" && n.hostname != e.Label() {
			continue
		}
		if !yield(e) {
			return
		}
	}
}

// addresses appends the addresses of n that are of one family.
func (n node) addresses(to []netip.Addr, v4 bool) []netip.Addr {
	switch {
	case n.kind == pod:
		return family(to, v4, n.addr)
	case n.kind != service || n.port != "":
		return to
	case n.hostname == "" && !n.service.headless():
		return family(to, v4, n.service.Addresses...)
	}
	for e := range n.endpoints {
		to = family(to, v4, e.Addresses...)
	}
	return to
}

func family(to []netip.Addr, v4 bool, list ...netip.Addr) []netip.Addr {
	for _, a := range list {
		if a = a.Unmap(); a.Is4() == v4 && a.IsValid() {
			to = append(to, a)
		}
	}
	return to
}

// target is what an SRV record points to.
type target struct {
	endpoint *Endpoint // nil: the service
	port     uint16
}

// targets appends what the SRV records of n point to. The names of services and
// endpoints have those of all ports, as CoreDNS answers.
func (n node) targets(to []target) []target {
	if n.kind != service {
		return to
	}
	for _, p := range n.service.Ports {
		if n.hostname == "" && !n.service.headless() && n.service.ExternalName == "" && p.is(n.port, n.protocol) {
			to = append(to, target{nil, p.Port})
		}
	}
	for e := range n.endpoints {
		for _, p := range n.service.ports(e) {
			if p.is(n.port, n.protocol) {
				to = append(to, target{e, p.Port})
			}
		}
	}
	return to
}
