package dns

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// ResolvConf is what a resolv.conf(5) says.
type ResolvConf struct {
	Nameservers []netip.Addr
	Search      []string // without dots at their ends
	Options     []string // such as ndots:5
}

// maxLine is the longest line, with its end, that musl reads: it passes over
// longer ones as a whole.
const maxLine = 255

// ParseResolvConf reads a resolv.conf as the C libraries do: what it does not
// understand is passed over, of several search lines the last one counts, and
// domain is a search line of one.
func ParseResolvConf(text []byte) ResolvConf {
	var c ResolvConf
	for line := range bytes.Lines(text) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		line, _, _ = bytes.Cut(line, []byte(";"))
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				c.Nameservers = append(c.Nameservers, a)
			}
		case "domain":
			c.Search = f[1:2]
		case "search":
			c.Search = f[1:]
		case "options":
			c.Options = append(c.Options, f[1:]...)
		}
	}
	c.Search = normalized(c.Search)
	return c
}

// normalized drops dots at the ends, doubles, and the root, at which musl ends a
// search and which is tried anyway.
func normalized(search []string) []string {
	var list []string
	for _, d := range search {
		if d = strings.TrimRight(d, "."); d != "" && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// ClusterFirst returns what the resolv.conf of a pod says under Kubernetes'
// policy of that name: the server at port 53 of an address of the pod, and the
// cluster's domains to search, so that "service", "service.namespace" and
// "service.namespace.svc" are names in the namespace, before the host's.
func ClusterFirst(server netip.Addr, namespace, domain string, host ResolvConf) ResolvConf {
	domain = canonical(domain)
	return ResolvConf{
		Nameservers: []netip.Addr{server},
		Search:      normalized(slices.Concat([]string{namespace + ".svc." + domain, "svc." + domain, domain}, host.Search)),
		Options:     []string{"ndots:5"},
	}
}

// Text returns the file. Domains at the end of the search list that would make
// the line longer than musl reads are left out and returned; the first three are
// not, which are the cluster's. glibc before 2.26 looks at the first six domains.
func (c ResolvConf) Text() (text []byte, left []string) {
	var b bytes.Buffer
	for _, a := range c.Nameservers {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	line := "search"
	for i, d := range c.Search {
		if i >= 3 && len(line)+1+len(d)+1 > maxLine {
			left = c.Search[i:]
			break
		}
		line += " " + d
	}
	if len(c.Search) > 0 {
		b.WriteString(line + "\n")
	}
	if len(c.Options) > 0 {
		b.WriteString("options " + strings.Join(c.Options, " ") + "\n")
	}
	return b.Bytes(), left
}
