package pod

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// fitting collects what is wrong between objects that are right by themselves.
type fitting struct {
	m    *Manifest
	pods []*Pod // the first one of each Deployment stands for all of its pods
	errs []*Error
}

func (m *Manifest) fitting() *fitting {
	f := &fitting{m: m, pods: slices.Clone(m.Pods)}
	for _, d := range m.Deployments {
		f.pods = append(f.pods, d.pod(0))
	}
	return f
}

func (f *fitting) addf(o object, field, format string, args ...any) {
	ps := &problems{object: o}
	ps.addf(field, format, args...)
	f.errs = append(f.errs, ps.errs.List...)
}

// together checks how the objects fit together, all of which are valid.
func (m *Manifest) together() error {
	f := m.fitting()
	f.names()
	f.clusterIPs()
	f.hostPorts()
	for _, s := range m.Services {
		f.targets(s)
	}
	for _, e := range m.Endpoints {
		f.endpoints(e, "metadata.name", e.Metadata.Name, e.Subsets, "subsets")
	}
	for _, e := range m.EndpointSlices {
		at := fmt.Sprintf("metadata.labels[%q]", LabelServiceName)
		f.endpoints(e, at, e.Service(), []EndpointSubset{e.subset()}, "")
		if slices.ContainsFunc(m.Endpoints, func(o *Endpoints) bool { return o.Metadata.Name == e.Service() }) {
			f.addf(e, at, "the file has Endpoints %s too; leave one of them out", e.Service())
		}
	}
	return merge(f.errs, false)
}

// duplicates looks for names that occur twice, which needs no valid objects.
func (m *Manifest) duplicates() error {
	f := &fitting{m: m}
	f.names()
	return merge(f.errs, false)
}

func (f *fitting) names() {
	pods, deployments, services, endpoints, parts := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for _, p := range f.m.Pods {
		f.unique(pods, p, "pod", p.Metadata.Name)
	}
	for _, d := range f.m.Deployments {
		f.unique(deployments, d, "Deployment", d.Metadata.Name)
		for i := range min(max(d.Replicas(), 0), maxReplicas) {
			if name := d.podName(i); pods[name] != "" {
				f.addf(d, "metadata.name", "one of its pods is called %s, as %s is; choose another name", name, pods[name])
			} else {
				pods[name] = "a pod of Deployment " + d.Metadata.Name
			}
		}
	}
	for _, s := range f.m.Services {
		f.unique(services, s, "Service", s.Metadata.Name)
	}
	for _, e := range f.m.Endpoints {
		f.unique(endpoints, e, "Endpoints", e.Metadata.Name)
	}
	for _, e := range f.m.EndpointSlices {
		f.unique(parts, e, "EndpointSlice", e.Metadata.Name)
	}
}

func (f *fitting) unique(seen map[string]string, o object, what, name string) {
	switch {
	case name == "":
	case seen[name] != "":
		f.addf(o, "metadata.name", "duplicate %q: the file has %s of this name already", name, seen[name])
	default:
		seen[name] = "another " + what
	}
}

func (f *fitting) clusterIPs() {
	seen := map[netip.Addr]string{}
	for _, s := range f.m.Services {
		for _, ip := range s.addresses() {
			if other := seen[ip]; other != "" {
				f.addf(s, "spec.clusterIP", "duplicate %s: service %s has it already", ip, other)
			}
			seen[ip] = s.Metadata.Name
		}
	}
}

// hostPorts refuses ports of the host that two objects want.
func (f *fitting) hostPorts() {
	type taken struct {
		addr netip.Addr
		by   string
	}
	seen := map[string][]taken{}
	take := func(o object, field, by, protocol string, addr netip.Addr, port int) {
		key := strconv.Itoa(port) + "/" + orTCP(protocol)
		for _, t := range seen[key] {
			if t.by != by && overlap(t.addr, addr) {
				f.addf(o, field, "duplicate host port %d: %s has it already", port, t.by)
				break
			}
		}
		seen[key] = append(seen[key], taken{addr, by})
	}
	for _, p := range f.pods {
		for i, c := range p.Spec.Containers {
			for j, port := range c.Ports {
				if port.HostPort != 0 {
					addr, _ := netip.ParseAddr(port.HostIP)
					take(p, fmt.Sprintf("%s.ports[%d].hostPort", containerPath(i), j), "pod "+p.Metadata.Name, port.Protocol, addr, port.HostPort)
				}
			}
		}
	}
	for _, s := range f.m.Services {
		by := "service " + s.Metadata.Name
		for i, p := range s.Spec.Ports {
			at := fmt.Sprintf("spec.ports[%d]", i)
			if p.NodePort != 0 {
				take(s, at+".nodePort", by, p.Protocol, netip.Addr{}, p.NodePort)
			}
			if s.Spec.Type == ServiceLoadBalancer {
				addr, _ := netip.ParseAddr(s.Spec.LoadBalancerIP)
				take(s, at+".port", by, p.Protocol, addr, p.Port)
			}
			for _, ip := range s.Spec.ExternalIPs {
				addr, _ := netip.ParseAddr(ip)
				take(s, at+".port", by, p.Protocol, addr, p.Port)
			}
		}
		o, _ := s.Options()
		for _, h := range o.HostPorts {
			take(s, annotationField("host-port"), by, s.hostPortProtocol(h), h.IP, h.Port)
		}
	}
}

func (s *Service) hostPortProtocol(h HostPort) string {
	for _, p := range s.Spec.Ports {
		if p.Name == h.ServicePort || h.ServicePort == "" {
			return p.Protocol
		}
	}
	return ""
}

// targets refuses the name of a target port that no selected pod has. Where none
// is selected the pods may be in another file.
func (f *fitting) targets(s *Service) {
	var selected []*Pod
	for _, p := range f.pods {
		if s.Selects(p) {
			selected = append(selected, p)
		}
	}
	for i, port := range s.Spec.Ports {
		ref := port.TargetPort
		if ref.Name == "" || len(selected) == 0 || slices.ContainsFunc(selected, func(p *Pod) bool {
			_, ok := p.Port(ref, port.Protocol)
			return ok
		}) {
			continue
		}
		var names []string
		for i := range selected[0].Spec.Containers {
			names = append(names, selected[0].Spec.Containers[i].portNames(port.Protocol)...)
		}
		hint := "; give one this name, or use a number"
		if near := nearest.Name(ref.Name, names); near != "" {
			hint = "; did you mean " + near + "?"
		} else if len(names) > 0 {
			hint = "; pod " + selected[0].Metadata.Name + " has " + strings.Join(names, ", ")
		}
		f.addf(s, fmt.Sprintf("spec.ports[%d].targetPort", i), "no pod that the service selects has a %s port %q%s", orTCP(port.Protocol), ref.Name, hint)
	}
}

// endpoints checks them against the service of their name.
func (f *fitting) endpoints(e object, at, service string, subsets []EndpointSubset, field string) {
	s := f.m.service(service)
	switch {
	case s == nil:
		return
	case len(s.Spec.Selector) > 0:
		f.addf(e, at, "service %s has a selector: its endpoints are its pods; leave the selector or these Endpoints out", s.Metadata.Name)
		return
	case s.Spec.Type == ServiceExternalName:
		f.addf(e, at, "service %s is of the type ExternalName, which has no endpoints", s.Metadata.Name)
		return
	}
	var names []string
	for _, p := range s.Spec.Ports {
		names = append(names, p.Name)
	}
	for i, subset := range subsets {
		at := ""
		if field != "" {
			at = fmt.Sprintf("%s[%d].", field, i)
		}
		for j, p := range subset.Ports {
			if len(names) == 0 || slices.ContainsFunc(s.Spec.Ports, func(o ServicePort) bool {
				return o.Name == p.Name && orTCP(o.Protocol) == orTCP(p.Protocol)
			}) {
				continue
			}
			f.addf(e, fmt.Sprintf("%sports[%d].name", at, j), "service %s has no %s port %q; it has %s", s.Metadata.Name, orTCP(p.Protocol), p.Name, quoted(names...))
		}
	}
}

func (m *Manifest) service(name string) *Service {
	for _, s := range m.Services {
		if s.Metadata.Name == name {
			return s
		}
	}
	return nil
}

func quoted(names ...string) string {
	var list []string
	for _, n := range names {
		list = append(list, strconv.Quote(n))
	}
	return strings.Join(list, ", ")
}

// Warnings tell what is probably a mistake, although it may be right: what a
// service is to lead to may be described in another file. Each is an *Error with
// its place.
func (m *Manifest) Warnings() []error {
	f := m.fitting()
	for _, s := range m.Services {
		f.warnService(s)
	}
	for _, e := range m.Endpoints {
		if m.service(e.Metadata.Name) == nil {
			f.addf(e, "metadata.name", "the file has no Service %s", e.Metadata.Name)
		}
	}
	for _, e := range m.EndpointSlices {
		if m.service(e.Service()) == nil {
			f.addf(e, fmt.Sprintf("metadata.labels[%q]", LabelServiceName), "the file has no Service %s", e.Service())
		}
	}
	var list []error
	for _, e := range f.errs {
		list = append(list, e)
	}
	return list
}

func (f *fitting) warnService(s *Service) {
	if s.Spec.Type == ServiceExternalName {
		return
	}
	if len(s.Spec.Selector) == 0 {
		if !slices.ContainsFunc(f.m.allEndpoints(), func(e *Endpoints) bool { return e.Metadata.Name == s.Metadata.Name }) {
			f.addf(s, "spec.selector", "missing, and the file has no Endpoints %s: the service leads nowhere until there are some", s.Metadata.Name)
		}
		return
	}
	found := false
	for _, p := range f.pods {
		if !s.Selects(p) {
			continue
		}
		found = true
		for i, port := range s.Spec.Ports {
			if _, ok := p.Port(port.TargetPort, port.Protocol); !ok && port.TargetPort.Name != "" {
				f.addf(s, fmt.Sprintf("spec.ports[%d].targetPort", i), "pod %s has no %s port %q and gets no connections", p.Metadata.Name, orTCP(port.Protocol), port.TargetPort.Name)
			}
		}
	}
	if !found {
		f.addf(s, "spec.selector", "it selects no pod of this file")
	}
}
