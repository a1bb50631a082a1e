package pod

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/nearest"
)

// AnnotationPrefix is that of the annotations which say what Kubernetes has no
// field for. Kubernetes ignores them, so that the same file runs there.
const AnnotationPrefix = "peapod.dev/"

// ServiceOptions are how a service's connections are passed on, beyond what
// Kubernetes has fields for: its annotations.
type ServiceOptions struct {
	// HostPorts are addresses of the host that listen for the service.
	HostPorts []HostPort
	// Balance says which of its pods gets a connection; "" leaves that to
	// the proxy.
	Balance Balance
	// SlowStart is for how long a pod that has become ready gets fewer
	// connections than the others; 0 is not at all.
	SlowStart time.Duration
	// MaxConnections is how many connections each pod has at a time, 0 is
	// any number; Queue is how many more wait until one has ended, others are
	// cut off at once. Each process counts those that it forwards: for its
	// own pods and, where it has registered the service, for the host.
	MaxConnections, Queue int
	// IdleTimeout ends a connection on which nothing has moved for so long;
	// 0 is never.
	IdleTimeout time.Duration
	// KeepAlive is how often a quiet peer is asked whether it is still there
	// (TCP keep-alive): 0 leaves it to the proxy, negative is never.
	KeepAlive time.Duration
	// AcceptProxyProtocol takes who the client is from the PROXY protocol's
	// header that begins each connection to an address of the host (node
	// port, host port, load balancer, external address), where another proxy
	// is the client. Who uses the cluster IP sends none.
	AcceptProxyProtocol bool
	// SendProxyProtocol is the version of the PROXY protocol, 1 or 2, by
	// which the pods are told who the client is; 0 is none.
	SendProxyProtocol int
	// Transparent has connections come from the client's own address, for
	// which that has to be one of IPv4, as the pods' are: on all addresses of
	// the host the service listens only by IPv4 then.
	Transparent bool
}

// HostPort is an address of the host at which a port of a service listens.
type HostPort struct {
	// ServicePort is the port's name; "" where the service has one port.
	ServicePort string
	// IP is the host's address; the zero value is all addresses.
	IP   netip.Addr
	Port int
}

// Balance is a way to choose one of a service's pods.
type Balance string

// The ways to balance.
const (
	BalanceRandom     Balance = "random"
	BalanceRoundRobin Balance = "round-robin"
	BalanceSourceHash Balance = "source-hash"
)

const annotationHostPort = AnnotationPrefix + "host-port"

type serviceAnnotation struct {
	name string
	read func(o *ServiceOptions, value string) error
}

// serviceAnnotations are those of services, with what reads them.
var serviceAnnotations = []serviceAnnotation{
	{"host-port", func(o *ServiceOptions, v string) (err error) { o.HostPorts, err = parseHostPorts(v); return err }},
	{"balance", func(o *ServiceOptions, v string) (err error) { o.Balance, err = parseBalance(v); return err }},
	{"slow-start", func(o *ServiceOptions, v string) (err error) { o.SlowStart, err = parseSpan(v); return err }},
	{"max-connections", func(o *ServiceOptions, v string) (err error) { o.MaxConnections, err = parseCount(v); return err }},
	{"queue", func(o *ServiceOptions, v string) (err error) { o.Queue, err = parseCount(v); return err }},
	{"idle-timeout", func(o *ServiceOptions, v string) (err error) { o.IdleTimeout, err = parseSpan(v); return err }},
	{"keep-alive", func(o *ServiceOptions, v string) (err error) { o.KeepAlive, err = parseKeepAlive(v); return err }},
	{"accept-proxy-protocol", func(o *ServiceOptions, v string) (err error) { o.AcceptProxyProtocol, err = parseSwitch(v); return err }},
	{"send-proxy-protocol", func(o *ServiceOptions, v string) (err error) {
		o.SendProxyProtocol, err = parseProxyVersion(v)
		return err
	}},
	{"transparent", func(o *ServiceOptions, v string) (err error) { o.Transparent, err = parseSwitch(v); return err }},
}

// Options reads the service's annotations. The error is an *Errors; Validate
// tells it too.
func (s *Service) Options() (ServiceOptions, error) {
	ps := &problems{object: s}
	o := ps.serviceAnnotations(s)
	return o, ps.errs.Err()
}

func (ps *problems) serviceAnnotations(s *Service) (o ServiceOptions) {
	for _, key := range sortedKeys(s.Metadata.Annotations) {
		name, ok := strings.CutPrefix(key, AnnotationPrefix)
		if !ok {
			continue
		}
		at := fmt.Sprintf("metadata.annotations[%q]", key)
		i := slices.IndexFunc(serviceAnnotations, func(a serviceAnnotation) bool { return a.name == name })
		if i < 0 {
			ps.unknownAnnotation(at, name)
		} else if err := serviceAnnotations[i].read(&o, strings.TrimSpace(s.Metadata.Annotations[key])); err != nil {
			ps.addf(at, "%w", err)
		}
	}
	ps.hostPortNames(s, o.HostPorts)
	if o.Queue > 0 && o.MaxConnections == 0 {
		ps.addf(annotationField("queue"), "it has no effect without %smax-connections; write that too, or leave it out", AnnotationPrefix)
	}
	ps.onlyTCP(s, o)
	return o
}

// onlyTCP refuses what datagrams would not have.
func (ps *problems) onlyTCP(s *Service, o ServiceOptions) {
	i := slices.IndexFunc(s.Spec.Ports, func(p ServicePort) bool { return p.Protocol == "UDP" })
	if i < 0 {
		return
	}
	for _, a := range []struct {
		name string
		set  bool
	}{{"transparent", o.Transparent}, {"send-proxy-protocol", o.SendProxyProtocol != 0}, {"accept-proxy-protocol", o.AcceptProxyProtocol}} {
		if a.set {
			ps.addf(annotationField(a.name), "it is for TCP, and port %d is UDP: give that a service of its own", s.Spec.Ports[i].Port)
		}
	}
}

func annotationField(name string) string {
	return fmt.Sprintf("metadata.annotations[%q]", AnnotationPrefix+name)
}

func (ps *problems) unknownAnnotation(at, name string) {
	var names []string
	for _, a := range serviceAnnotations {
		names = append(names, a.name)
	}
	if near := nearest.Name(name, names); near != "" {
		ps.addf(at, "unknown annotation; did you mean %s%s?", AnnotationPrefix, near)
		return
	}
	ps.addf(at, "unknown annotation; after %s known are %s", AnnotationPrefix, strings.Join(names, ", "))
}

// noAnnotations refuses ours on what is no service.
func (ps *problems) noAnnotations(annotations map[string]string) {
	for _, key := range sortedKeys(annotations) {
		if strings.HasPrefix(key, AnnotationPrefix) {
			ps.addf(fmt.Sprintf("metadata.annotations[%q]", key), "it has no effect here: annotations with %s are for Services", AnnotationPrefix)
		}
	}
}

// hostPortNames checks that host ports belong to ports of the service.
func (ps *problems) hostPortNames(s *Service, list []HostPort) {
	at := annotationField("host-port")
	if len(list) > 0 && (s.Spec.Type == ServiceExternalName || s.Spec.ClusterIP == HeadlessIP) {
		ps.addf(at, "this service forwards nothing; leave it out")
		return
	}
	for i, h := range list {
		var names []string
		for _, p := range s.Spec.Ports {
			names = append(names, p.Name)
		}
		switch {
		case h.ServicePort == "" && len(names) > 1:
			ps.addf(at, "the service has several ports: write %s=%d", names[0], h.Port)
		case h.ServicePort != "" && !slices.Contains(names, h.ServicePort):
			ps.addf(at, "the service has no port %q; it has %s", h.ServicePort, strings.Join(names, ", "))
		}
		for _, other := range list[:i] {
			if other.Port == h.Port && overlap(other.IP, h.IP) {
				ps.addf(at, "duplicate host port %d", h.Port)
				break
			}
		}
	}
}

// parseHostPorts reads 8080, 127.0.0.1:8080, or several such, each after the
// name of a port of the service: http=8080, https=[::1]:8443.
func parseHostPorts(value string) (list []HostPort, err error) {
	for part := range strings.SplitSeq(value, ",") {
		name, address, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			name, address = "", name
		}
		h := HostPort{ServicePort: name}
		text := address
		if i := strings.LastIndexByte(address, ':'); i >= 0 {
			text = address[i+1:]
			ip := address[:i]
			if strings.HasPrefix(ip, "[") && strings.HasSuffix(ip, "]") {
				ip = ip[1 : len(ip)-1]
			}
			if h.IP, err = netip.ParseAddr(ip); err != nil || h.IP.Zone() != "" {
				return nil, fmt.Errorf("%q is not an IP address; use a port, or ADDRESS:PORT such as 127.0.0.1:8080", ip)
			}
		}
		if h.Port, err = strconv.Atoi(text); err != nil || h.Port < 1 || h.Port > 65535 {
			return nil, fmt.Errorf("found %q, expected a port from 1 to 65535, ADDRESS:PORT, or NAME=PORT for each of several ports", address)
		}
		list = append(list, h)
	}
	return list, nil
}

func parseBalance(value string) (Balance, error) {
	switch b := Balance(value); b {
	case BalanceRandom, BalanceRoundRobin, BalanceSourceHash:
		return b, nil
	}
	known := []string{string(BalanceRandom), string(BalanceRoundRobin), string(BalanceSourceHash)}
	hint := ""
	if near := nearest.Name(value, known); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return "", fmt.Errorf("unknown value %q; use %s%s", value, strings.Join(known, ", "), hint)
}

// parseSpan reads a span of time from a millisecond to a day.
func parseSpan(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("found %q, expected a span of time such as 500ms, 30s or 5m", value)
	}
	if d < time.Millisecond || d > 24*time.Hour {
		return 0, fmt.Errorf("%s is out of range; use 1ms to 24h", value)
	}
	return d, nil
}

func parseKeepAlive(value string) (time.Duration, error) {
	if value == "off" {
		return -1, nil
	}
	d, err := parseSpan(value)
	if err != nil {
		return 0, fmt.Errorf("%w, or off", err)
	}
	if d < time.Second || d%time.Second != 0 {
		return 0, errors.New("the kernel counts whole seconds; use 1s or more, or off")
	}
	return d, nil
}

func parseCount(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 1<<20 {
		return 0, fmt.Errorf("found %q, expected a number from 1 to %d", value, 1<<20)
	}
	return n, nil
}

func parseSwitch(value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("found %q, expected true or false", value)
}

func parseProxyVersion(value string) (int, error) {
	switch value {
	case "v1":
		return 1, nil
	case "v2":
		return 2, nil
	}
	return 0, fmt.Errorf("unknown value %q; use v1 or v2", value)
}
