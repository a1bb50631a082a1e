package pod

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// maxProbeSeconds bounds what is multiplied into nanoseconds later.
const maxProbeSeconds = 365 * 24 * 3600

func (ps *problems) probes(at string, c *Container) {
	for _, one := range [...]struct {
		field string
		probe *Probe
	}{{".livenessProbe", c.LivenessProbe}, {".readinessProbe", c.ReadinessProbe}, {".startupProbe", c.StartupProbe}} {
		if one.probe == nil {
			continue
		}
		ps.probe(at+one.field, c, one.probe)
		if one.probe == c.ReadinessProbe {
			if one.probe.TerminationGracePeriodSeconds != nil {
				ps.addf(at+one.field+".terminationGracePeriodSeconds", "a readiness probe ends no container; leave the field out")
			}
		} else if one.probe.SuccessThreshold > 1 {
			ps.addf(at+one.field+".successThreshold", "found %d; it is 1 for all but readiness probes", one.probe.SuccessThreshold)
		}
	}
}

func (ps *problems) probe(at string, c *Container, p *Probe) {
	for _, one := range [...]struct {
		field string
		n     int
		unit  string
	}{
		{".initialDelaySeconds", p.InitialDelaySeconds, "seconds"}, {".periodSeconds", p.PeriodSeconds, "seconds"},
		{".timeoutSeconds", p.TimeoutSeconds, "seconds"},
		{".successThreshold", p.SuccessThreshold, "times"}, {".failureThreshold", p.FailureThreshold, "times"},
	} {
		if one.n < 0 || one.n > maxProbeSeconds {
			ps.addf(at+one.field, "%d is out of range; use 0 to %d %s", one.n, maxProbeSeconds, one.unit)
		}
	}
	if t := p.TerminationGracePeriodSeconds; t != nil && (*t < 1 || *t > maxProbeSeconds) {
		ps.addf(at+".terminationGracePeriodSeconds", "%d is out of range; use 1 to %d", *t, maxProbeSeconds)
	}
	actions := 0
	if p.Exec != nil {
		actions++
		if len(p.Exec.Command) == 0 || p.Exec.Command[0] == "" {
			ps.addf(at+".exec.command", "missing; its first word is the executable, no shell is involved")
		}
	}
	if p.HTTPGet != nil {
		actions++
		ps.httpGet(at+".httpGet", c, p.HTTPGet)
	}
	if p.TCPSocket != nil {
		actions++
		ps.probeTarget(at+".tcpSocket", c, p.TCPSocket.Port, p.TCPSocket.Host, "")
	}
	if p.GRPC != nil {
		actions++
		if ps.neededPort(at+".grpc.port", p.GRPC.Port); len(p.GRPC.Service) > maxGRPCService {
			ps.addf(at+".grpc.service", "a name of %d bytes; use %d at most", len(p.GRPC.Service), maxGRPCService)
		}
	}
	switch {
	case actions == 0:
		ps.addf(at, "missing: what to ask; use exec, httpGet, tcpSocket or grpc")
	case actions > 1:
		ps.addf(at, "a probe is one of exec, httpGet, tcpSocket and grpc, not several")
	}
}

func (ps *problems) httpGet(at string, c *Container, h *HTTPGetAction) {
	switch h.Scheme {
	case "", "HTTP":
	case "HTTPS":
		ps.addf(at+".scheme", "HTTPS is not supported yet; use tcpSocket, or exec with a program that speaks it")
	default:
		ps.oneOf(at+".scheme", h.Scheme, "HTTP")
	}
	for i := range len(h.Path) {
		if h.Path[i] <= ' ' || h.Path[i] == 0x7f {
			ps.addf(at+".path", "%q has a blank or control character; write it as %%%02X", h.Path, h.Path[i])
			break
		}
	}
	for i, header := range h.HTTPHeaders {
		at := fmt.Sprintf("%s.httpHeaders[%d]", at, i)
		if !isHeaderName(header.Name) {
			ps.addf(at+".name", "%q cannot name a header field: letters, digits and '-'", header.Name)
		}
		if strings.ContainsFunc(header.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			ps.addf(at+".value", "%q has a control character", header.Value)
		}
	}
	ps.probeTarget(at, c, h.Port, h.Host, "; the name that the request is for goes into httpHeaders as Host")
}

// isHeaderName is Kubernetes' rule.
func isHeaderName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r > 0x7f || !isAlphanumeric(byte(r)))
	})
}

// probeTarget checks where a probe connects to.
func (ps *problems) probeTarget(at string, c *Container, ref PortRef, host, remedy string) {
	if addr, err := netip.ParseAddr(host); host != "" && host != "localhost" && (err != nil || addr.Zone() != "") {
		ps.addf(at+".host", "%q is not an IP address; leave it out for the pod itself%s", host, remedy)
	}
	if ref.IsZero() {
		ps.addf(at+".port", "missing; use a number or the name of one of the container's ports")
		return
	}
	ps.portRef(at+".port", ref)
	if _, ok := c.port(ref, "TCP"); ok || ref.Name == "" || !isPortName(ref.Name) {
		return
	}
	names := c.portNames("TCP")
	hint := "; it names none"
	if near := nearest.Name(ref.Name, names); near != "" {
		hint = "; did you mean " + near + "?"
	} else if len(names) > 0 {
		hint = "; it has " + strings.Join(names, ", ")
	}
	ps.addf(at+".port", "the container has no TCP port %q%s", ref.Name, hint)
}
