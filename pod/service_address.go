package pod

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
)

// Addresses of services are taken from serviceRange, unless others are given, and
// those of pods that have no other one from podRange: every network namespace has all
// of 127.0.0.0/8 on its loopback interface (127.0.0.1/8), so that the same address
// works everywhere without configuring anything.
var (
	podRange   = netip.MustParsePrefix("127.97.0.0/16")
	bothRanges = netip.MustParsePrefix("127.96.0.0/15")
)

// dnsAddress is where each pod finds its DNS server, as Kubernetes' kube-dns
// has the tenth address of the services'.
var dnsAddress = netip.MustParseAddr("127.96.0.10")

// allocator chooses addresses and node ports that nobody has. What a service
// gets depends on its name first, so that it is mostly the same each time.
type allocator struct {
	addresses map[netip.Addr]string // to the service's name
	ports     map[int]string
	ranges    []netip.Prefix           // one of each family, first that of services which ask for none
	usable    func(netip.Prefix) error // tells why a range cannot be made local
}

func newAllocator(taken []*ServiceRecord, ranges []netip.Prefix, usable func(netip.Prefix) error) *allocator {
	a := &allocator{map[netip.Addr]string{dnsAddress: "DNS"}, map[int]string{}, ranges, usable}
	for _, r := range taken {
		a.note(r.Service)
	}
	return a
}

func (a *allocator) note(s *Service) {
	for _, ip := range s.addresses() {
		a.addresses[ip] = s.Metadata.Name
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			a.ports[p.NodePort] = s.Metadata.Name
		}
	}
}

// choose returns a copy of the service with its address and node ports. Those
// that it asks for it gets, or an error.
func (a *allocator) choose(s *Service) (*Service, error) {
	c := *s
	c.Spec.Ports = slices.Clone(s.Spec.Ports)
	c.Metadata.Labels = maps.Clone(s.Metadata.Labels)
	c.Spec.oneAddress()
	if err := a.address(&c); err != nil {
		return nil, err
	}
	for i := range c.Spec.Ports {
		if err := a.nodePort(&c, i); err != nil {
			return nil, err
		}
	}
	c.Status.LoadBalancer = c.ingress()
	a.note(&c)
	return &c, nil
}

// ingress is where clients from elsewhere come to.
func (s *Service) ingress() (status LoadBalancerStatus) {
	if s.Spec.Type != ServiceLoadBalancer {
		return status
	}
	in := LoadBalancerIngress{IP: s.Spec.LoadBalancerIP, IPMode: "Proxy"}
	if in.IP == "" {
		in.IP = hostAddressOrLocal().String()
	}
	for _, p := range s.Spec.Ports {
		in.Ports = append(in.Ports, IngressPort{p.Port, orTCP(p.Protocol)})
	}
	status.Ingress = append(status.Ingress, in)
	return status
}

// candidates are the addresses of a range for what has a name, the same each time:
// of a large one the first 2^24.
func candidates(within netip.Prefix, name string) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		base := within.Addr().AsSlice()
		low := base[len(base)-4:]
		start := binary.BigEndian.Uint32(low)
		size := uint32(1) << min(within.Addr().BitLen()-within.Bits(), 24)
		first := hash(name)
		for i := range size {
			n := (first + i) % size
			if n == 0 || n == size-1 {
				continue // where others would expect a network's own and broadcast addresses
			}
			binary.BigEndian.PutUint32(low, start+n)
			ip, _ := netip.AddrFromSlice(base)
			if !yield(ip) {
				return
			}
		}
	}
}

func hash(name string) uint32 {
	h := fnv.New32a()
	io.WriteString(h, name)
	return h.Sum32()
}

// allocatesNodePorts tells whether a port that asks for none gets one.
func (s *ServiceSpec) allocatesNodePorts() bool {
	switch s.Type {
	case ServiceNodePort:
		return true
	case ServiceLoadBalancer:
		return s.AllocateLoadBalancerNodePorts == nil || *s.AllocateLoadBalancerNodePorts
	}
	return false
}

// nodePort chooses the node port of port i, where there is to be one.
func (a *allocator) nodePort(s *Service, i int) error {
	p := &s.Spec.Ports[i]
	if p.NodePort != 0 {
		if owner, ok := a.ports[p.NodePort]; ok && owner != s.Metadata.Name {
			return s.Errorf("spec.ports", "node port %d is service %s's; choose another, or leave the field out", p.NodePort, owner)
		}
		return nil
	}
	if !s.Spec.allocatesNodePorts() {
		return nil
	}
	const size = maxNodePort - minNodePort + 1
	first := hash(s.Metadata.Name + "/" + p.Name)
	for k := range uint32(size) {
		n := minNodePort + int((first+k)%size)
		if a.ports[n] == "" && portIsFree(n, p.Protocol) {
			p.NodePort, a.ports[n] = n, s.Metadata.Name
			return nil
		}
	}
	return s.Errorf("spec.ports", "all node ports are taken; stop other services")
}

// portIsFree tells whether a port that nobody asked for can be listened on, on all
// addresses of the host.
func portIsFree(port int, protocol string) bool {
	addr := fmt.Sprintf(":%d", port)
	var c io.Closer
	var err error
	if protocol == "UDP" {
		c, err = net.ListenPacket("udp", addr)
	} else {
		c, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return false
	}
	c.Close()
	return true
}
