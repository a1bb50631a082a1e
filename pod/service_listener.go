package pod

import (
	"net/netip"
	"strconv"
)

// ServiceListener is an address at which a service is reached.
type ServiceListener struct {
	// Address is IP:PORT; [::] stands for all addresses of the host, those of
	// IPv4 too, 0.0.0.0 for those of IPv4 alone.
	Address string `json:"address"`
	// Port is the service's.
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	// Field of the service is why: spec.clusterIP's is there in all pods and
	// on the host, others are on the host.
	Field string `json:"field"`
}

// Listeners returns the addresses at which the service is reached. There are
// none of a headless service, and of one that stands for another name.
func (r *ServiceRecord) Listeners() (list []ServiceListener) {
	s := r.Service
	addresses := s.addresses()
	if len(addresses) == 0 {
		return nil
	}
	add := func(addr netip.AddrPort, port int, field string) {
		p := s.Spec.Ports[port]
		list = append(list, ServiceListener{Address: addr.String(), Port: p.Port, Protocol: orTCP(p.Protocol), Field: field})
	}
	for i, p := range s.Spec.Ports {
		for _, ip := range addresses {
			add(netip.AddrPortFrom(ip, uint16(p.Port)), i, "spec.clusterIP")
		}
	}
	o, _ := s.Options() // it was registered with these
	for _, l := range s.hostListeners(o) {
		field := l.field
		switch field {
		case "spec.ports":
			field += "[" + strconv.Itoa(l.port) + "].nodePort"
		case "metadata.annotations":
			field = annotationField("host-port")
		}
		add(l.addr, l.port, field)
	}
	return list
}
