package dns

import (
	"math/rand/v2"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// ttl is how long clients may keep what we say, in seconds; also that there
	// is nothing.
	ttl = 5
	// schemaVersion is that of the specification that the names follow.
	schemaVersion = "1.1.0"

	typeHINFO = dnsmessage.TypeHINFO
)

// responder writes the answers that need nobody else.
type responder struct {
	domain string
	self   netip.Addr // where queries come in; invalid: not known
}

// node answers q, whose name stands for n in the cluster's domain.
func (p *responder) node(q *query, n node, buf []byte) ([]byte, error) {
	rcode := dnsmessage.RCodeSuccess
	if n.kind == nothing {
		rcode = dnsmessage.RCodeNameError
	}
	r := newReply(q, buf, rcode, true)
	owner, err := wireName(q.name)
	r.fail(err)
	p.write(r, n, owner)
	if r.records == 0 && !r.cut {
		p.negative(r, p.domain)
	}
	return r.finish()
}

// write writes the records of n that q asks for.
func (p *responder) write(r *reply, n node, owner dnsmessage.Name) {
	h := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: ttl}
	switch typ := r.q.typ; {
	case n.kind == nothing:
	case typ == dnsmessage.TypeALL:
		minimal(r, h)
	case n.kind == nameserver:
		addresses(r, h, family(nil, typ == dnsmessage.TypeA, p.self))
	case typ == dnsmessage.TypeA || typ == dnsmessage.TypeAAAA:
		var buf [16]netip.Addr
		addresses(r, h, n.addresses(buf[:0], typ == dnsmessage.TypeA))
	case typ == dnsmessage.TypeSRV:
		p.services(r, h, n)
	case typ == dnsmessage.TypeCNAME && n.alias():
		alias(r, h, canonical(n.service.ExternalName))
	case typ == dnsmessage.TypeTXT && n.kind == version:
		r.add(func(b *dnsmessage.Builder) error {
			return b.TXTResource(h, dnsmessage.TXTResource{TXT: []string{schemaVersion}})
		})
	case typ == dnsmessage.TypeSOA && n.kind == apex:
		p.start(r, h)
	case typ == dnsmessage.TypeNS && n.kind == apex:
		ns, err := joinName("ns.dns", p.domain)
		r.fail(err)
		r.add(func(b *dnsmessage.Builder) error { return b.NSResource(h, dnsmessage.NSResource{NS: ns}) })
	}
}

// alias reports whether n is a name elsewhere.
func (n node) alias() bool { return n.kind == service && n.service.ExternalName != "" }

func alias(r *reply, h dnsmessage.ResourceHeader, to string) {
	name, err := wireName(to)
	r.fail(err)
	r.add(func(b *dnsmessage.Builder) error { return b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: name}) })
}

// minimal answers ANY with as little as may be (RFC 8482).
func minimal(r *reply, h dnsmessage.ResourceHeader) {
	r.add(func(b *dnsmessage.Builder) error {
		return b.UnknownResource(h, dnsmessage.UnknownResource{Type: typeHINFO, Data: []byte("\x07RFC8482\x00")})
	})
}

// addresses writes the addresses beginning with any of them, so that clients
// that take the first one spread. A count would not do: who asks for A and AAAA
// in turns would always see the same ones.
func addresses(r *reply, h dnsmessage.ResourceHeader, list []netip.Addr) {
	first := anyOf(len(list))
	for i := range list {
		a := list[(first+i)%len(list)]
		r.add(func(b *dnsmessage.Builder) error {
			if a.Is4() {
				return b.AResource(h, dnsmessage.AResource{A: a.As4()})
			}
			return b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		})
	}
}

func anyOf(n int) int {
	if n < 2 {
		return 0
	}
	return rand.IntN(n)
}

// services writes SRV records of equal weight, and as many of their targets'
// addresses as there is room for.
func (p *responder) services(r *reply, h dnsmessage.ResourceHeader, n node) {
	var buf [16]target
	list := n.targets(buf[:0])
	first := anyOf(len(list))
	for i := range list {
		t := list[(first+i)%len(list)]
		name, err := p.name(n.service, t.endpoint)
		r.fail(err)
		r.add(func(b *dnsmessage.Builder) error {
			return b.SRVResource(h, dnsmessage.SRVResource{
				Weight: uint16(max(100/len(list), 1)), Port: t.port, Target: name,
			})
		})
	}
	if len(list) > 0 && !r.cut {
		p.glue(r, n, list)
	}
}

func (p *responder) glue(r *reply, n node, list []target) {
	r.additional()
	if list[0].endpoint == nil {
		p.glueOf(r, n.service, nil, n.service.Addresses)
		return
	}
	var last *Endpoint // its ports stand in a row
	for _, t := range list {
		if t.endpoint != last {
			p.glueOf(r, n.service, t.endpoint, t.endpoint.Addresses)
		}
		last = t.endpoint
	}
}

func (p *responder) glueOf(r *reply, s *Service, e *Endpoint, list []netip.Addr) {
	name, err := p.name(s, e)
	r.fail(err)
	h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}
	addresses(r, h, family(family(nil, true, list...), false, list...))
}

// name returns the name of a service, or of one of its endpoints.
func (p *responder) name(s *Service, e *Endpoint) (dnsmessage.Name, error) {
	hostname := ""
	if e != nil {
		hostname = e.Label()
	}
	return joinName(hostname, s.Name, s.Namespace, "svc", p.domain)
}

// reverse answers q, whose name stands for an address of ours.
func (p *responder) reverse(q *query, addr netip.Addr, owners []Owner, buf []byte) ([]byte, error) {
	zone, rcode := reverseZone(q.name, addr), dnsmessage.RCodeSuccess
	if len(owners) == 0 {
		rcode = dnsmessage.RCodeNameError
	}
	r := newReply(q, buf, rcode, true)
	owner, err := wireName(q.name)
	r.fail(err)
	h := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: ttl}
	switch {
	case len(owners) == 0:
	case q.typ == dnsmessage.TypeALL:
		minimal(r, h)
	case q.typ == dnsmessage.TypePTR:
		for _, o := range owners {
			name, err := joinName(o.Hostname, o.Service, o.Namespace, "svc", p.domain)
			r.fail(err)
			r.add(func(b *dnsmessage.Builder) error { return b.PTRResource(h, dnsmessage.PTRResource{PTR: name}) })
		}
	}
	if r.records == 0 && !r.cut {
		p.negative(r, zone)
	}
	return r.finish()
}

// reverseZone returns the zone that we are authoritative for: all of 127/8, and
// elsewhere the single address.
func reverseZone(name string, addr netip.Addr) string {
	if addr.Is4() && addr.IsLoopback() {
		return "127.in-addr.arpa"
	}
	return name
}

// negative says that there is nothing, and for how long (RFC 2308).
func (p *responder) negative(r *reply, zone string) {
	name, err := wireName(zone)
	r.fail(err)
	r.authority()
	p.start(r, dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl})
}

// start writes the SOA record. Nobody transfers the zone: the serial number and
// the times of transfers mean nothing.
func (p *responder) start(r *reply, h dnsmessage.ResourceHeader) {
	ns, err := joinName("ns.dns", p.domain)
	r.fail(err)
	mbox, err := joinName("hostmaster", p.domain)
	r.fail(err)
	r.add(func(b *dnsmessage.Builder) error {
		return b.SOAResource(h, dnsmessage.SOAResource{
			NS: ns, MBox: mbox, Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, MinTTL: ttl,
		})
	})
}
