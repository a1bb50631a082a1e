package pod

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/peapod/peapod/internal/dns"
	"github.com/peapod/peapod/internal/sklookup"
	"github.com/peapod/peapod/namespaces"
)

const dnsPort = 53

// updateNames makes the names of the services what they are. mu is held.
func (h *hub) updateNames() {
	list := make([]*dns.Service, 0, len(h.services))
	for _, s := range h.services {
		list = append(list, h.names(s))
	}
	h.dns.SetZone(dns.NewTable(append(list, defaultNamespace), nil))
	hosts := h.hostsLines()
	for _, sp := range h.spaces {
		if err := sp.writeHosts(hosts); err != nil {
			h.store.log().Warn("services are not written into /etc/hosts", "error", err)
		}
	}
}

// defaultNamespace lets the namespace exist where there is no service.
var defaultNamespace = &dns.Service{Namespace: "default"}

// names are what a service's name stands for.
func (h *hub) names(s *hubService) *dns.Service {
	spec := &s.record.Service.Spec
	d := &dns.Service{Namespace: "default", Name: s.record.Service.Metadata.Name}
	if spec.Type == ServiceExternalName {
		d.ExternalName = spec.ExternalName
		return d
	}
	for _, p := range spec.Ports {
		d.Ports = append(d.Ports, dns.Port{Name: p.Name, Protocol: p.Protocol, Port: uint16(p.Port)})
	}
	if d.Addresses = s.record.Service.addresses(); len(d.Addresses) > 0 {
		return d
	}
	d.Endpoints = h.headless(s.record)
	return d
}

// headless are the pods, or the addresses by hand, that the name of a service
// without an address stands for.
func (h *hub) headless(r *ServiceRecord) (list []dns.Endpoint) {
	if r.Endpoints != nil {
		for _, subset := range r.Endpoints.Subsets {
			addresses := subset.Addresses
			if r.Service.Spec.PublishNotReadyAddresses {
				addresses = append(addresses[:len(addresses):len(addresses)], subset.NotReadyAddresses...)
			}
			for _, a := range addresses {
				if ip, err := netip.ParseAddr(a.IP); err == nil {
					list = append(list, dns.Endpoint{Hostname: a.Hostname, Addresses: []netip.Addr{ip}, Ports: r.Service.namesOf(subset.portsOf(r.Service))})
				}
			}
		}
		return list
	}
	for _, p := range h.catalog.selected(r.Service) {
		ip, err := netip.ParseAddr(cmp.Or(p.state.ip, p.state.loopback))
		if err != nil || p.state.ending || !p.state.ready && !r.Service.Spec.PublishNotReadyAddresses {
			continue
		}
		e := dns.Endpoint{Hostname: p.pod.hostnameIn(r.Service), Addresses: []netip.Addr{ip}, Ports: []dns.Port{}}
		for _, port := range r.Service.Spec.Ports {
			if number, ok := r.Service.headlessPort(port, p.pod); ok {
				e.Ports = append(e.Ports, dns.Port{Name: port.Name, Protocol: port.Protocol, Port: uint16(number)})
			}
		}
		list = append(list, e)
	}
	return list
}

// namesOf are endpoints' ports as DNS has them.
func (s *Service) namesOf(ports []EndpointPort) []dns.Port {
	list := []dns.Port{}
	for _, p := range ports {
		list = append(list, dns.Port{Name: p.Name, Protocol: p.Protocol, Port: uint16(p.Port)})
	}
	return list
}

// hostnameIn is the pod's name below that of a headless service: its host name, but
// in none but the one of its subdomain where it has one.
func (p *Pod) hostnameIn(s *Service) string {
	if p.Spec.Subdomain != "" && p.Spec.Subdomain != s.Metadata.Name {
		return ""
	}
	return p.Spec.Hostname
}

// hostsLines are the services in /etc/hosts, for programs that look nowhere
// else.
func (h *hub) hostsLines() string {
	var b strings.Builder
	for _, r := range h.catalog.all() {
		name := r.Service.Metadata.Name
		if h.services[name] == nil {
			continue
		}
		for _, ip := range r.Service.addresses() {
			b.WriteString(ip.String() + "\t" + name + ".default.svc." + clusterDomain + " " + name + "\n")
		}
	}
	return b.String()
}

// writeHosts writes the services behind the lines that the pod's /etc/hosts
// begins with. The file stays the same one, which containers have mounted, and
// is never empty.
func (sp *space) writeHosts(lines string) error {
	if sp.hosts == "" || sp.written == lines {
		return nil
	}
	f, err := os.OpenFile(sp.hosts, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text := sp.hostsBase + lines
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	sp.written = lines
	return f.Truncate(int64(len(text)))
}

// dnsSockets are where a pod's DNS server listens.
type dnsSockets struct {
	udp, tcp *os.File // for a table to lead to
	cancel   context.CancelFunc
}

func (d *dnsSockets) close() {
	if d != nil {
		d.cancel()
		d.udp.Close()
		d.tcp.Close()
	}
}

// serveDNS answers queries from the namespace.
func (sp *space) serveDNS() (err error) {
	at := netip.AddrPortFrom(dnsAddress, dnsPort)
	d := &dnsSockets{cancel: func() {}}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.udp, err = sp.boundUDP(at); err != nil {
		return err
	}
	packets, err := net.FilePacketConn(d.udp)
	if err != nil {
		return err
	}
	udp, ok := packets.(*net.UDPConn)
	if !ok {
		packets.Close()
		return errors.ErrUnsupported
	}
	tcp, err := namespaces.Listen(context.Background(), sp.netns, at)
	if err != nil {
		udp.Close()
		return err
	}
	if d.tcp, err = tcp.File(); err != nil {
		udp.Close()
		tcp.Close()
		return err
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(sp.hub.living)
	sp.dns = d
	sp.hub.draining.Go(func() {
		if err := sp.hub.dns.Serve(ctx, udp, tcp); err != nil && ctx.Err() == nil {
			sp.hub.store.log().Error("a pod's DNS server has ended", "error", err)
		}
	})
	return nil
}

// leadDNS leads queries past the table, which refuses what it does not know.
func (sp *space) leadDNS(table leader) error {
	if sp.dns == nil {
		return nil
	}
	at := netip.AddrPortFrom(dnsAddress, dnsPort)
	if sp.redirect != nil {
		return errors.Join(sp.redirect.Except(sklookup.UDP, at), sp.redirect.Except(sklookup.TCP, at))
	}
	return errors.Join(table.Lead(sklookup.UDP, at, sp.dns.udp), table.Lead(sklookup.TCP, at, sp.dns.tcp))
}
