package pod

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// What Kubernetes' API server has by default.
const (
	minNodePort = 30000
	maxNodePort = 32767

	maxAffinitySeconds = 24 * 3600
)

// Validate checks what the types cannot, annotations included. The error is an
// *Errors, as Pod.Validate's.
func (s *Service) Validate() error {
	ps := &problems{object: s}
	ps.metadata(&s.Metadata)
	ps.serviceName(&s.Metadata)
	ps.labels("spec.selector", s.Spec.Selector)
	ps.serviceType(&s.Spec)
	ps.servicePorts(&s.Spec)
	ps.clusterIP(&s.Spec)
	ps.ipFamilies(&s.Spec)
	for i, ip := range s.Spec.ExternalIPs {
		ps.serviceIP(fmt.Sprintf("spec.externalIPs[%d]", i), ip)
	}
	ps.affinity(&s.Spec)
	ps.serviceAnnotations(s)
	return ps.errs.Err()
}

// serviceName is stricter than a label: it is the beginning of variables' names.
func (ps *problems) serviceName(m *Metadata) {
	if isLabel(m.Name) && m.Name[0] >= '0' && m.Name[0] <= '9' {
		ps.addf("metadata.name", "%q begins with a digit; the name of a service begins with a letter", m.Name)
	}
	if m.Namespace != "" && m.Namespace != "default" && isLabel(m.Namespace) {
		ps.addf("metadata.namespace", "%q is not supported: all services of this machine are in the namespace default; leave the field out", m.Namespace)
	}
}

func (ps *problems) serviceType(s *ServiceSpec) {
	switch s.Type {
	case "", ServiceClusterIP, ServiceNodePort, ServiceLoadBalancer:
		if s.ExternalName != "" {
			ps.addf("spec.externalName", "it has no effect in a service of the type %s; use type: ExternalName", s.typeName())
		}
	case ServiceExternalName:
		ps.externalName(s)
	default:
		ps.oneOf("spec.type", string(s.Type), "ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
	}
	if s.LoadBalancerIP != "" {
		if s.Type != ServiceLoadBalancer {
			ps.addf("spec.loadBalancerIP", "it has no effect in a service of the type %s; use type: LoadBalancer", s.typeName())
		}
		ps.serviceIP("spec.loadBalancerIP", s.LoadBalancerIP)
	}
	if s.AllocateLoadBalancerNodePorts != nil && s.Type != ServiceLoadBalancer {
		ps.addf("spec.allocateLoadBalancerNodePorts", "it has no effect in a service of the type %s; leave it out", s.typeName())
	}
	switch s.InternalTrafficPolicy {
	case "", "Cluster":
	case "Local":
		if len(s.Selector) == 0 {
			ps.addf("spec.internalTrafficPolicy", "Local is not supported for a service without a selector: its endpoints may be elsewhere; use Cluster")
		}
	default:
		ps.oneOf("spec.internalTrafficPolicy", s.InternalTrafficPolicy, "Cluster", "Local")
	}
}

func (s *ServiceSpec) typeName() string {
	if s.Type == "" {
		return string(ServiceClusterIP)
	}
	return string(s.Type)
}

func (ps *problems) externalName(s *ServiceSpec) {
	name := strings.TrimSuffix(s.ExternalName, ".")
	_, err := netip.ParseAddr(name)
	switch {
	case name == "":
		ps.addf("spec.externalName", "missing; use the DNS name that the service stands for")
	case err == nil:
		ps.addf("spec.externalName", "%q is an IP address; use a Service without a selector, and Endpoints with the address", name)
	case !isSubdomain(name):
		ps.addf("spec.externalName", "%q is not a DNS name", name)
	}
	if len(s.Selector) > 0 {
		ps.addf("spec.selector", "it has no effect in a service of the type ExternalName; leave it out")
	}
	if s.ClusterIP != "" {
		ps.addf("spec.clusterIP", "a service of the type ExternalName has none; leave it out")
	}
}

// isSubdomain reports whether s is a DNS name in lower case.
func isSubdomain(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isLabel(part) {
			return false
		}
	}
	return len(s) <= 253
}

func (ps *problems) servicePorts(s *ServiceSpec) {
	if len(s.Ports) == 0 && s.Type != ServiceExternalName && s.ClusterIP != HeadlessIP {
		ps.addf("spec.ports", "missing; write at least one {port: NUMBER}")
	}
	names, ports, nodePorts := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range s.Ports {
		p, at := &s.Ports[i], fmt.Sprintf("spec.ports[%d]", i)
		ps.servicePortName(at+".name", p.Name, len(s.Ports))
		ps.unique(names, i, at+".name", "spec.ports[%d]", p.Name)
		if ps.neededPort(at+".port", p.Port) {
			ps.unique(ports, i, at+".port", "spec.ports[%d]", fmt.Sprintf("%d/%s", p.Port, orTCP(p.Protocol)))
		}
		if !p.TargetPort.IsZero() {
			ps.portRef(at+".targetPort", p.TargetPort)
			if s.ClusterIP == HeadlessIP && p.TargetPort.Name == "" && p.TargetPort.Number != p.Port {
				ps.addf(at+".targetPort", "found %d, where port is %d: a headless service forwards nothing; leave it out", p.TargetPort.Number, p.Port)
			}
		}
		ps.protocol(at+".protocol", p.Protocol)
		ps.nodePort(at+".nodePort", s, p)
		if p.NodePort != 0 {
			ps.unique(nodePorts, i, at+".nodePort", "spec.ports[%d]", fmt.Sprintf("%d/%s", p.NodePort, orTCP(p.Protocol)))
		}
	}
}

func (ps *problems) servicePortName(at, name string, ports int) {
	switch {
	case name == "" && ports > 1:
		ps.addf(at, "missing; where there are several ports each has a name")
	case name != "" && !isLabel(name):
		ps.addf(at, "%q is not a DNS label: %s", name, labelRule)
	}
}

// neededPort checks a port that must be there, and reports whether it is sound.
func (ps *problems) neededPort(at string, port int) bool {
	if port == 0 {
		ps.addf(at, "missing; use 1 to 65535")
		return false
	}
	ps.port(at, port)
	return port > 0 && port <= 65535
}

func (ps *problems) protocol(at, protocol string) {
	switch protocol {
	case "", "TCP", "UDP":
	case "SCTP":
		ps.addf(at, "SCTP is not supported: use TCP or UDP")
	default:
		ps.oneOf(at, protocol, "TCP", "UDP")
	}
}

func (ps *problems) nodePort(at string, s *ServiceSpec, p *ServicePort) {
	switch {
	case p.NodePort == 0:
	case s.Type != ServiceNodePort && s.Type != ServiceLoadBalancer:
		ps.addf(at, "it has no effect in a service of the type %s; use type: NodePort", s.typeName())
	case p.NodePort < minNodePort || p.NodePort > maxNodePort:
		ps.addf(at, "port %d is out of range; use %d to %d, or the annotation %s for any port", p.NodePort, minNodePort, maxNodePort, annotationHostPort)
	}
}

func (ps *problems) clusterIP(s *ServiceSpec) {
	switch {
	case s.ClusterIP == "" || s.Type == ServiceExternalName:
	case s.ClusterIP == HeadlessIP:
		if s.Type != "" && s.Type != ServiceClusterIP {
			ps.addf("spec.clusterIP", "None is for the type ClusterIP; leave it out in a service of the type %s", s.Type)
		}
		if s.SessionAffinity == AffinityClientIP {
			ps.addf("spec.sessionAffinity", "it has no effect in a headless service, which forwards nothing; leave it out")
		}
	default:
		ps.serviceAddress("spec.clusterIP", s.ClusterIP)
	}
	ps.clusterIPs(s)
}

// serviceAddress checks what is one of a range; of which one the store knows.
func (ps *problems) serviceAddress(at, text string) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil || addr.Zone() != "" || addr.Is4In6():
		ps.addf(at, "%q is not an IP address; use one, None, or leave it out for one that is free", text)
	case addr.IsLoopback() && !serviceRange.Contains(addr):
		ps.addf(at, "%s is not one of %s: programs use the other loopback addresses themselves; leave it out for one that is free", text, serviceRange)
	case !addr.IsLoopback() && !addr.IsGlobalUnicast():
		ps.addf(at, "%s cannot be a service's; leave it out for one that is free", text)
	}
}

func (ps *problems) clusterIPs(s *ServiceSpec) {
	if len(s.ClusterIPs) == 0 {
		return
	}
	if s.ClusterIPs[0] != s.ClusterIP {
		ps.addf("spec.clusterIPs[0]", "found %q, where spec.clusterIP is %q; leave one of them out", s.ClusterIPs[0], s.ClusterIP)
	}
	if len(s.ClusterIPs) == 1 {
		return
	}
	if s.ClusterIP == HeadlessIP || len(s.ClusterIPs) > 2 {
		ps.addf("spec.clusterIPs", "found %d addresses: a service has one of each family; leave the others out", len(s.ClusterIPs))
		return
	}
	ps.serviceAddress("spec.clusterIPs[1]", s.ClusterIPs[1])
	first, err1 := netip.ParseAddr(s.ClusterIPs[0])
	second, err2 := netip.ParseAddr(s.ClusterIPs[1])
	if err1 == nil && err2 == nil && first.Is4() == second.Is4() {
		ps.addf("spec.clusterIPs[1]", "%s is of the same family as %s: a service has one address of each; leave one of them out", second, first)
	}
}

func (ps *problems) ipFamilies(s *ServiceSpec) {
	seen := map[string]int{}
	for i, family := range s.IPFamilies {
		at := fmt.Sprintf("spec.ipFamilies[%d]", i)
		if family != familyIPv4 && family != familyIPv6 {
			ps.oneOf(at, family, familyIPv4, familyIPv6)
			continue
		}
		ps.unique(seen, i, at, "spec.ipFamilies[%d]", family)
		if i >= len(s.ClusterIPs) {
			continue
		}
		if ip, err := netip.ParseAddr(s.ClusterIPs[i]); err == nil && familyOf(ip) != family {
			ps.addf(at, "found %s, where spec.clusterIPs[%d] is %s; leave one of them out", family, i, ip)
		}
	}
	switch s.IPFamilyPolicy {
	case "", preferDualStack, requireDualStack:
	case singleStack:
		if len(s.IPFamilies) > 1 || len(s.ClusterIPs) > 1 {
			ps.addf("spec.ipFamilyPolicy", "SingleStack is for one family, and there are two; use RequireDualStack")
		}
	default:
		ps.oneOf("spec.ipFamilyPolicy", s.IPFamilyPolicy, singleStack, preferDualStack, requireDualStack)
	}
	if s.ClusterIP != HeadlessIP {
		return
	}
	// A headless service without a selector stands for addresses of any family.
	if i := slices.Index(s.IPFamilies, familyIPv6); i >= 0 && len(s.Selector) > 0 {
		ps.addf(fmt.Sprintf("spec.ipFamilies[%d]", i), "IPv6 is not supported in a headless service: its name stands for the one address that each pod has; leave it out")
	} else if s.IPFamilyPolicy == requireDualStack && len(s.Selector) > 0 {
		ps.addf("spec.ipFamilyPolicy", "RequireDualStack is not supported in a headless service: its name stands for the one address that each pod has; use PreferDualStack")
	}
}

// serviceIP checks an address of the host that a service listens on.
func (ps *problems) serviceIP(at, text string) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil || addr.Zone() != "":
		ps.addf(at, "%q is not an IP address", text)
	case addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() || addr.IsLinkLocalUnicast():
		ps.addf(at, "Kubernetes refuses %s here; the annotation %s listens on any address of the host", text, annotationHostPort)
	}
}

func (ps *problems) affinity(s *ServiceSpec) {
	switch s.SessionAffinity {
	case "", "None", AffinityClientIP:
	default:
		ps.oneOf("spec.sessionAffinity", s.SessionAffinity, "None", AffinityClientIP)
		return
	}
	c := s.SessionAffinityConfig
	if c == nil {
		return
	}
	if s.SessionAffinity != AffinityClientIP {
		ps.addf("spec.sessionAffinityConfig", "it has no effect without sessionAffinity: ClientIP; write that too, or leave it out")
	}
	if c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		if t := *c.ClientIP.TimeoutSeconds; t < 1 || t > maxAffinitySeconds {
			ps.addf("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "%d is out of range; use 1 to %d", t, maxAffinitySeconds)
		}
	}
}
