package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	typeA    = dnsmessage.TypeA
	typeAAAA = dnsmessage.TypeAAAA
	typeSRV  = dnsmessage.TypeSRV
	typeTXT  = dnsmessage.TypeTXT
	typePTR  = dnsmessage.TypePTR
	cname    = dnsmessage.TypeCNAME
	typeANY  = dnsmessage.TypeALL

	noError  = dnsmessage.RCodeSuccess
	nxDomain = dnsmessage.RCodeNameError
	servFail = dnsmessage.RCodeServerFailure
	refused  = dnsmessage.RCodeRefused
	formErr  = dnsmessage.RCodeFormatError
	notImp   = dnsmessage.RCodeNotImplemented
)

const clusterSOA = "cluster.local. SOA ns.dns.cluster.local. hostmaster.cluster.local. 5"

// TestAnswers is the specification, name by name.
func TestAnswers(t *testing.T) {
	addr := start(t, &Server{})
	const c = ".cluster.local."
	for _, test := range []struct {
		name  string
		typ   dnsmessage.Type
		rcode dnsmessage.RCode
		want  []string
	}{
		{"web.default.svc" + c, typeA, noError, []string{"A 127.96.0.1"}},
		{"web.default.svc" + c, typeAAAA, noError, nil},
		{"web.default.svc" + c, typeTXT, noError, nil},
		{"web.default.svc" + c, cname, noError, nil},
		{"web.default.svc" + c, dnsmessage.Type(65), noError, nil},
		{"both.default.svc" + c, typeA, noError, []string{"A 127.96.0.2"}},
		{"both.default.svc" + c, typeAAAA, noError, []string{"AAAA fd00::2"}},
		{"_http._tcp.web.default.svc" + c, typeSRV, noError, []string{"SRV 0 100 80 web.default.svc" + c}},
		{"_https._tcp.web.default.svc" + c, typeSRV, noError, []string{"SRV 0 100 443 web.default.svc" + c}},
		{"_http._tcp.web.default.svc" + c, typeA, noError, nil},
		{"_http._udp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"_none._tcp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"__tcp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"_._tcp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"_._udp.web.default.svc" + c, typeSRV, nxDomain, nil}, // a port without a name
		{"_tcp.web.default.svc" + c, typeSRV, noError, nil},    // there is _http below
		{"_sctp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"_.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"http.tcp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"_x._http._tcp.web.default.svc" + c, typeSRV, nxDomain, nil},
		{"web.default.svc" + c, typeSRV, noError, []string{
			"SRV 0 33 443 web.default.svc" + c, "SRV 0 33 5353 web.default.svc" + c, "SRV 0 33 80 web.default.svc" + c,
		}},
		{"x.web.default.svc" + c, typeA, nxDomain, nil},

		{"db.default.svc" + c, typeA, noError, []string{"A 10.0.0.1", "A 10.0.0.2", "A 10.0.0.3"}},
		{"db.default.svc" + c, typeAAAA, noError, []string{"AAAA fd00::a"}},
		{"db-0.db.default.svc" + c, typeA, noError, []string{"A 10.0.0.1"}},
		{"db-0.db.default.svc" + c, typeAAAA, noError, []string{"AAAA fd00::a"}},
		{"db-1.db.default.svc" + c, typeA, noError, []string{"A 10.0.0.2"}},
		{"db-1.db.default.svc" + c, typeAAAA, noError, nil},
		{"10-0-0-3.db.default.svc" + c, typeA, noError, []string{"A 10.0.0.3"}},
		{"10-0-0-1.db.default.svc" + c, typeA, nxDomain, nil}, // it has a hostname
		{"_sql._tcp.db.default.svc" + c, typeSRV, noError, []string{
			"SRV 0 33 15432 db-1.db.default.svc" + c, "SRV 0 33 5432 10-0-0-3.db.default.svc" + c, "SRV 0 33 5432 db-0.db.default.svc" + c,
		}},
		{"db-1.db.default.svc" + c, typeSRV, noError, []string{"SRV 0 100 15432 db-1.db.default.svc" + c}},
		{"none.default.svc" + c, typeA, nxDomain, nil},
		{"_x._tcp.none.default.svc" + c, typeSRV, nxDomain, nil},
		{"portless.default.svc" + c, typeA, noError, []string{"A 10.0.0.9"}},
		{"portless.default.svc" + c, typeSRV, noError, nil},

		{"10-0-0-1.default.pod" + c, typeA, noError, []string{"A 10.0.0.1"}},
		{"10-0-0-1.default.pod" + c, typeAAAA, noError, nil},
		{"fd00--a.default.pod" + c, typeAAAA, noError, []string{"AAAA fd00::a"}},
		{"10-0-0-1.lonely.pod" + c, typeA, nxDomain, nil},
		{"10-0-0-7.lonely.pod" + c, typeA, noError, []string{"A 10.0.0.7"}},
		{"8-8-8-8.default.pod" + c, typeA, nxDomain, nil},
		{"x.10-0-0-1.default.pod" + c, typeA, nxDomain, nil},
		{"not-an-address.default.pod" + c, typeA, nxDomain, nil},

		{"cluster.local.", typeA, noError, nil},
		{"cluster.local.", dnsmessage.TypeSOA, noError, []string{strings.TrimPrefix(clusterSOA, "cluster.local. ")}},
		{"cluster.local.", dnsmessage.TypeNS, noError, []string{"NS ns.dns" + c}},
		{"ns.dns" + c, typeA, noError, []string{"A 127.0.0.1"}},
		{"ns.dns" + c, typeAAAA, noError, nil},
		{"dns" + c, typeA, noError, nil},
		{"svc" + c, typeA, noError, nil},
		{"pod" + c, typeA, noError, nil},
		{"default.svc" + c, typeA, noError, nil},
		{"lonely.svc" + c, typeA, noError, nil},
		{"default.pod" + c, typeA, noError, nil},
		{"missing.svc" + c, typeA, nxDomain, nil},
		{"missing.pod" + c, typeA, nxDomain, nil},
		{"web.missing.svc" + c, typeA, nxDomain, nil},
		{"missing.default.svc" + c, typeA, nxDomain, nil},
		{"web.default" + c, typeA, nxDomain, nil},
		{"web.default.svc.default.svc" + c, typeA, nxDomain, nil}, // a search of musl goes on
		{"example.com" + c, typeA, nxDomain, nil},
		{"a.b.c.d.e.f.g" + c, typeA, nxDomain, nil},
		{"dns-version" + c, typeTXT, noError, []string{"TXT 1.1.0"}},
		{"dns-version" + c, typeA, noError, nil},

		{"alias.other.svc" + c, cname, noError, []string{"CNAME target.example.com."}},
		{"x.alias.other.svc" + c, typeA, nxDomain, nil},
		{"_http._tcp.alias.other.svc" + c, typeSRV, nxDomain, nil},
		{"inside.other.svc" + c, typeAAAA, noError, []string{
			"CNAME db.default.svc" + c, "db.default.svc" + c + " AAAA fd00::a",
		}},
		{"twice.other.svc" + c, typeAAAA, noError, []string{
			"CNAME inside.other.svc" + c, "db.default.svc" + c + " AAAA fd00::a",
			"inside.other.svc" + c + " CNAME db.default.svc" + c,
		}},
		{"broken.other.svc" + c, typeA, nxDomain, []string{"CNAME gone.other.svc" + c}},
		{"circle.other.svc" + c, typeA, servFail, nil},
		{"wrong.other.svc" + c, typeA, servFail, nil},
		{"wrong.other.svc" + c, cname, servFail, nil},

		{"1.0.96.127.in-addr.arpa.", typePTR, noError, []string{"PTR web.default.svc" + c}},
		{"2.0.0.10.in-addr.arpa.", typePTR, noError, []string{"PTR db-1.db.default.svc" + c}},
		{"3.0.0.10.in-addr.arpa.", typePTR, noError, []string{"PTR 10-0-0-3.db.default.svc" + c}},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", typePTR, noError, []string{"PTR both.default.svc" + c}},

		{"web.default.svc" + c, typeANY, noError, []string{`TYPE13 "\aRFC8482\x00"`}},
		{"cluster.local.", typeANY, noError, []string{`TYPE13 "\aRFC8482\x00"`}},
		{"missing.default.svc" + c, typeANY, nxDomain, nil},
		{"web.default.svc" + c, dnsmessage.TypeAXFR, refused, nil},
		{"cluster.local.", typeIXFR, refused, nil},
	} {
		for _, tcp := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, test.typ, tcp), func(t *testing.T) {
				m, _ := ask{name: test.name, typ: test.typ, tcp: tcp}.get(t, addr)
				if got := texts(m.Answers, test.name); m.RCode != test.rcode || !slices.Equal(got, test.want) {
					t.Errorf("%v %q, want %v %q", m.RCode, got, test.rcode, test.want)
				}
				if m.Truncated || m.Authoritative != (test.rcode == noError || test.rcode == nxDomain) {
					t.Errorf("header %#v", m.Header)
				}
				for _, r := range slices.Concat(m.Answers, m.Authorities, m.Additionals) {
					if r.Header.TTL != 5 || r.Header.Class != dnsmessage.ClassINET {
						t.Errorf("record %v", r.Header)
					}
				}
				negative := m.Authoritative && (len(test.want) == 0 || test.rcode == nxDomain)
				if got := texts(m.Authorities, ""); negative != slices.Equal(got, []string{clusterSOA}) || !negative && len(got) > 0 {
					t.Errorf("authority %q", got)
				}
			})
		}
	}
}

func TestReverseNegative(t *testing.T) {
	addr := start(t, &Server{})
	for _, test := range []struct {
		name string
		typ  dnsmessage.Type
		want dnsmessage.RCode
		zone string
	}{
		{"9.9.96.127.in-addr.arpa.", typePTR, nxDomain, "127.in-addr.arpa."},
		{"1.0.96.127.in-addr.arpa.", typeA, noError, "127.in-addr.arpa."},
		{"2.0.0.10.in-addr.arpa.", typeTXT, noError, "2.0.0.10.in-addr.arpa."},
		{"9.0.0.10.in-addr.arpa.", typeTXT, noError, "9.0.0.10.in-addr.arpa."},
		// These are forwarded, here to nobody.
		{"9.9.9.9.in-addr.arpa.", typePTR, servFail, ""},
		{"0.0.10.in-addr.arpa.", typePTR, servFail, ""},
		{"02.0.0.10.in-addr.arpa.", typePTR, servFail, ""},
	} {
		m, _ := ask{name: test.name, typ: test.typ}.get(t, addr)
		zone := ""
		if len(m.Authorities) == 1 {
			zone = m.Authorities[0].Header.Name.String()
		}
		if m.RCode != test.want || zone != test.zone || len(m.Answers) > 0 {
			t.Errorf("%s: %v %q %v", test.name, m.RCode, zone, m.Answers)
		}
	}
}

func TestGlue(t *testing.T) {
	addr := start(t, &Server{})
	for name, want := range map[string][]string{
		"_dns._udp.both.default.svc.cluster.local.": {
			"both.default.svc.cluster.local. A 127.96.0.2", "both.default.svc.cluster.local. AAAA fd00::2",
		},
		"_sql._tcp.db.default.svc.cluster.local.": {
			"10-0-0-3.db.default.svc.cluster.local. A 10.0.0.3", "db-0.db.default.svc.cluster.local. A 10.0.0.1",
			"db-0.db.default.svc.cluster.local. AAAA fd00::a", "db-1.db.default.svc.cluster.local. A 10.0.0.2",
		},
		// One of each, though there are three ports.
		"web.default.svc.cluster.local.": {"A 127.96.0.1"},
	} {
		m, _ := ask{name: name, typ: typeSRV}.get(t, addr)
		if got := texts(m.Additionals, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestCase: what the client wrote comes back, and matches.
func TestCase(t *testing.T) {
	addr := start(t, &Server{Domain: "Cluster.LOCAL."})
	for _, name := range []string{"wEb.DEFAULT.sVc.cLuStEr.LoCaL.", "_HTTP._tCp.web.default.svc.cluster.LOCAL.", "NOPE.default.svc.cluster.local."} {
		typ := typeA
		if name[0] == '_' {
			typ = typeSRV
		}
		m, _ := ask{name: name, typ: typ}.get(t, addr)
		if name[0] == 'N' {
			if m.RCode != nxDomain {
				t.Errorf("%s: %v", name, m.RCode)
			}
			continue
		}
		if len(m.Answers) != 1 || m.Answers[0].Header.Name.String() != name {
			t.Errorf("%s: %v", name, m.Answers)
		}
	}
}

// TestDotInLabel: a label may hold any byte; such a name is not one of ours.
func TestDotInLabel(t *testing.T) {
	addr := start(t, &Server{})
	msg := ask{name: "webxdefault.svc.cluster.local.", typ: typeA}.pack(t, 1)
	msg[headerSize+4] = '.'
	got := raw(t, addr, false, msg)
	if rcode := dnsmessage.RCode(got[3] & 0xf); rcode != nxDomain {
		t.Error(rcode)
	}
	if string(got[headerSize:headerSize+len(msg)-headerSize]) != string(msg[headerSize:]) {
		t.Errorf("question % x", got)
	}
}

// TestRotation: clients that take the first address spread, also those that ask
// for A and AAAA in turns.
func TestRotation(t *testing.T) {
	addr := start(t, &Server{})
	for _, typ := range []dnsmessage.Type{typeA, typeSRV} {
		first := map[string]int{}
		for range 300 {
			m, _ := ask{name: "db.default.svc.cluster.local.", typ: typ}.get(t, addr)
			first[text(m.Answers[0].Body)]++
			ask{name: "db.default.svc.cluster.local.", typ: typeAAAA}.get(t, addr)
		}
		// 100 each are expected; below 50 is a matter of 10^-9.
		for a, n := range first {
			if n < 50 {
				t.Errorf("%s came first %d times of 300", a, n)
			}
		}
		if len(first) != 3 {
			t.Errorf("%v", first)
		}
	}
}

// many is a headless service of n endpoints.
func many(n int) *Service {
	s := &Service{Namespace: "default", Name: "many", Ports: []Port{{"p", "TCP", 1}}}
	for i := range n {
		s.Endpoints = append(s.Endpoints, Endpoint{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}})
	}
	return s
}

// TestTruncation: an answer never exceeds what the client takes, and over TCP it
// is whole.
func TestTruncation(t *testing.T) {
	s := &Server{}
	s.SetZone(NewTable([]*Service{many(300)}, nil))
	addr := start(t, s)
	const name = "many.default.svc.cluster.local."
	for _, test := range []struct{ edns, limit, records int }{
		{0, 512, 29}, {100, 512, 28}, {512, 512, 28}, {700, 700, 40}, {1232, 1232, 73}, {4096, 1232, 73}, {65535, 1232, 73},
	} {
		m, size := ask{name: name, typ: typeA, size: test.edns}.get(t, addr)
		if !m.Truncated || size > test.limit || size < test.limit-16 || len(m.Answers) != test.records {
			t.Errorf("EDNS %d: TC %v, %d bytes, %d records", test.edns, m.Truncated, size, len(m.Answers))
		}
		if got := len(m.Additionals); got != min(test.edns, 1) {
			t.Errorf("EDNS %d: %d additional records", test.edns, got)
		}
	}
	m, _ := ask{name: name, typ: typeA, tcp: true, size: 512}.get(t, addr)
	if m.Truncated || len(m.Answers) != 300 {
		t.Errorf("TCP: TC %v, %d records", m.Truncated, len(m.Answers))
	}
	// A glue that does not fit is no reason to ask again.
	s.SetZone(NewTable([]*Service{many(6)}, nil))
	m, size := ask{name: name, typ: typeSRV}.get(t, addr)
	if m.Truncated || len(m.Answers) != 6 || len(m.Additionals) == 0 || len(m.Additionals) == 6 || size > 512 {
		t.Errorf("glue: TC %v, %d records, %d additional, %d bytes", m.Truncated, len(m.Answers), len(m.Additionals), size)
	}
}

func TestNoZoneYet(t *testing.T) {
	s := &Server{}
	s.SetZone(nil)
	addr := start(t, s)
	for _, name := range []string{"web.default.svc.cluster.local.", "1.0.96.127.in-addr.arpa."} {
		if m, _ := (ask{name: name, typ: typeA}).get(t, addr); m.RCode != servFail {
			t.Errorf("%s: %v", name, m.RCode)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	for _, domain := range []string{"a..b", ".", "x" + strings.Repeat(".long", 60)} {
		udp, tcp := listen(t)
		if err := (&Server{Domain: domain}).Serve(t.Context(), udp, tcp); err == nil {
			t.Errorf("domain %q is served", domain)
		}
	}
	if err := new(Server).Serve(t.Context(), nil, nil); err == nil || strings.Contains(err.Error(), "%!") {
		t.Errorf("without sockets: %v", err)
	}
}
