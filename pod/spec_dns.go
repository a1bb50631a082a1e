package pod

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/peapod/peapod/internal/dns"
)

// DNSPolicy says which DNS server the containers of a pod ask.
type DNSPolicy string

// The DNS policies; DNSClusterFirst where the spec is silent.
const (
	// DNSClusterFirst is the pod's own server, which knows the services and
	// asks the host's servers for the rest. On the host's network it is
	// DNSDefault.
	DNSClusterFirst DNSPolicy = "ClusterFirst"
	// DNSDefault is what the host's resolv.conf says.
	DNSDefault DNSPolicy = "Default"
	// DNSNone is what DNSConfig says and nothing else.
	DNSNone DNSPolicy = "None"
)

// DNSConfig adds to what the policy says.
type DNSConfig struct {
	Nameservers []string    `json:"nameservers,omitempty"`
	Searches    []string    `json:"searches,omitempty"`
	Options     []DNSOption `json:"options,omitempty"`
}

// DNSOption is an option of resolv.conf(5).
type DNSOption struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// HostAlias gives an address names in the pod's /etc/hosts.
type HostAlias struct {
	IP        string   `json:"ip"`
	Hostnames []string `json:"hostnames,omitempty"`
}

// maxNameservers is how many resolv.conf(5) takes.
const maxNameservers = 3

func (ps *problems) dns(s *Spec) {
	switch s.DNSPolicy {
	case "", DNSClusterFirst, DNSDefault:
	case DNSNone:
		if s.DNSConfig == nil || len(s.DNSConfig.Nameservers) == 0 {
			ps.addf("spec.dnsConfig.nameservers", "missing; dnsPolicy None takes the servers from here")
		}
	default:
		ps.oneOf("spec.dnsPolicy", string(s.DNSPolicy), "ClusterFirst", "Default", "None")
	}
	if c := s.DNSConfig; c != nil {
		if len(c.Nameservers) > maxNameservers {
			ps.addf("spec.dnsConfig.nameservers", "there are %d; resolv.conf takes %d", len(c.Nameservers), maxNameservers)
		}
		for i, text := range c.Nameservers {
			ps.ip(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), text)
		}
		for i, text := range c.Searches {
			ps.word(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), text)
		}
		for i, o := range c.Options {
			ps.word(fmt.Sprintf("spec.dnsConfig.options[%d].name", i), o.Name)
			if strings.ContainsAny(o.Value, " \t\r\n") {
				ps.addf(fmt.Sprintf("spec.dnsConfig.options[%d].value", i), "%q has a blank in it", o.Value)
			}
		}
	}
	for i, a := range s.HostAliases {
		ps.ip(fmt.Sprintf("spec.hostAliases[%d].ip", i), a.IP)
		for j, name := range a.Hostnames {
			ps.word(fmt.Sprintf("spec.hostAliases[%d].hostnames[%d]", i, j), name)
		}
	}
}

func (ps *problems) ip(at, text string) {
	if _, err := netip.ParseAddr(text); err != nil {
		ps.addf(at, "%q is no IP address", text)
	}
}

// word refuses what would be something else in a file of words.
func (ps *problems) word(at, text string) {
	if text == "" || strings.ContainsAny(text, " \t\r\n#;") {
		ps.addf(at, "%q is no name", text)
	}
}

// servesDNS tells whether the pod has a DNS server of its own.
func (p *Pod) servesDNS() bool {
	return !p.Spec.HostNetwork && (p.Spec.DNSPolicy == "" || p.Spec.DNSPolicy == DNSClusterFirst)
}

// resolvConf is the pod's resolv.conf, made of the host's.
func (p *Pod) resolvConf(own bool, host []byte) []byte {
	var c dns.ResolvConf
	switch {
	case own:
		c = dns.ClusterFirst(dnsAddress, p.Metadata.Namespace, clusterDomain, dns.ParseResolvConf(host))
	case p.Spec.DNSPolicy != DNSNone:
		if p.Spec.DNSConfig == nil {
			return host
		}
		c = dns.ParseResolvConf(host)
	}
	if d := p.Spec.DNSConfig; d != nil {
		for _, text := range d.Nameservers {
			if ip, err := netip.ParseAddr(text); err == nil && len(c.Nameservers) < maxNameservers {
				c.Nameservers = append(c.Nameservers, ip)
			}
		}
		c.Search = append(c.Search, d.Searches...)
		for _, o := range d.Options {
			text := o.Name
			if o.Value != "" {
				text += ":" + o.Value
			}
			c.Options = append(c.Options, text)
		}
	}
	text, _ := c.Text()
	return text
}

// clusterDomain is that of the services' names.
const clusterDomain = "cluster.local"

// writeResolvConf writes what the resolver of a container looks at.
func (s *Supervisor) writeResolvConf() error {
	host, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return writeForAll(s.hostsFile("resolv.conf"), string(s.pod.resolvConf(s.pod.servesDNS() && !s.onHost(), host)))
}

// aliases are the lines of /etc/hosts that the spec asks for.
func (p *Pod) aliases() (lines string) {
	for _, a := range p.Spec.HostAliases {
		if len(a.Hostnames) > 0 {
			lines += a.IP + "\t" + strings.Join(a.Hostnames, " ") + "\n"
		}
	}
	return lines
}
