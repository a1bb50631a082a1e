package pod

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// chooseNetwork reads which network the pod is to have. "auto" is the host's for a
// pod that asks for that.
func (p *Pod) chooseNetwork(text string) (networks.Spec, error) {
	if p.Spec.HostNetwork {
		if text != "" && text != string(networks.Auto) && text != string(networks.Host) {
			return networks.Spec{}, p.Errorf("spec.hostNetwork", "the pod is run with network %s; leave one of them out", text)
		}
		text = string(networks.Host)
	}
	if text == "" {
		return networks.Spec{Mode: networks.None}, nil
	}
	n, err := networks.Parse(text)
	if err == nil && n.Mode == networks.Host {
		err = p.checkHostPorts()
	}
	if err == nil && rootless() {
		return userNetwork(n)
	}
	return n, err
}

// checkHostPorts refuses ports of a pod on the host's network that would have to
// be forwarded: it listens on the host's own.
func (p *Pod) checkHostPorts() error {
	for i, c := range p.Spec.Containers {
		for j, port := range c.Ports {
			if port.HostPort != 0 && port.HostPort != port.ContainerPort {
				return p.Errorf(fmt.Sprintf("%s.ports[%d].hostPort", containerPath(i), j),
					"the pod has the host's network: want %d, as containerPort is, or leave it out", port.ContainerPort)
			}
		}
	}
	return nil
}

// onHost tells whether the pod has no network namespace of its own.
func (s *Supervisor) onHost() bool { return s.network.Mode == networks.Host }

// networkDir says which pod has which network.
func (s *Store) networkDir() string { return filepath.Join(s.root(), "networks") }

// attach gives the pod its network, and tells its containers their addresses.
func (s *Supervisor) attach(ctx context.Context, resolved []*Resolved) (_ []*Resolved, err error) {
	s.attached, err = networks.Attach(ctx, networks.Options{
		Network: s.network, Pod: s.place.name, Netns: s.netns,
		StateDir: s.store.networkDir(), Do: namespaces.Do,
		Userns: s.set.File(namespaces.User), Sockets: socketsIn, Hold: namespaces.Hold,
	})
	if err != nil {
		return nil, err
	}
	if s.attached.Lacking != nil {
		s.log().Info("the pod has no network", "error", s.attached.Lacking)
	}
	s.findAddresses()
	s.findLoopback()
	if err := s.addHostsLines(); err != nil {
		return nil, err
	}
	at := s.pod.wantsAddresses()
	switch {
	case at == "" && len(s.pod.serviceEnv) == 0:
		return resolved, nil
	case at != "" && len(s.pod.addresses.pod) == 0:
		return nil, s.pod.Errorf(at, "the pod has no address but its loopback; run it with a network (--network bridge), or use value: 127.0.0.1")
	}
	return s.pod.Resolve()
}

// addresses are those that variables may refer to.
type addresses struct {
	pod  []netip.Addr
	host netip.Addr
}

// findAddresses notes the pod's addresses and the host's.
func (s *Supervisor) findAddresses() {
	a := &addresses{host: hostAddress()}
	for _, p := range s.attached.Addresses {
		a.pod = append(a.pod, p.Addr())
	}
	if !a.host.IsValid() && len(s.attached.Gateways) > 0 {
		a.host = s.attached.Gateways[0]
	}
	if !a.host.IsValid() {
		a.host = hostAddressOrLocal()
	}
	if s.onHost() {
		a.pod = []netip.Addr{a.host}
	}
	s.pod.addresses = a
}

// findLoopback gives a pod an address that has no other one. It can do without.
func (s *Supervisor) findLoopback() {
	if len(s.pod.addresses.pod) > 0 {
		return
	}
	var err error
	if s.loopback, err = s.store.claimAddress(s.place); err != nil {
		s.log().Warn("headless services do not lead to the pod", "error", err)
	}
}

// noteAddresses writes the pod's network into its status.
func (s *Supervisor) noteAddresses() {
	a := s.pod.addresses
	s.status.Network, s.status.HostIP = s.attached.Network.String(), a.host.String()
	if s.attached.Lacking != nil {
		s.status.NetworkMessage = s.attached.Lacking.Error()
	}
	for _, ip := range a.pod {
		s.status.PodIPs = append(s.status.PodIPs, PodIP{ip.String()})
	}
	if len(a.pod) > 0 {
		s.status.PodIP = a.pod[0].String()
	}
	if s.loopback.IsValid() {
		s.status.LoopbackIP = s.loopback.String()
	}
}

// hostAddressOrLocal is hostAddress, or 127.0.0.1 where there is no world.
func hostAddressOrLocal() netip.Addr {
	if ip := hostAddress(); ip.IsValid() {
		return ip
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// hostAddress is the address that the host has towards the world: no packet is
// sent to find it.
func hostAddress() netip.Addr {
	for _, to := range []string{"1.1.1.1:53", "[2606:4700:4700::1111]:53"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		local, err := netip.ParseAddrPort(c.LocalAddr().String())
		c.Close()
		if err == nil {
			return local.Addr().Unmap()
		}
	}
	return netip.Addr{}
}

// addHostsLines lets the pod's name lead to the addresses that others have for it.
func (s *Supervisor) addHostsLines() error {
	lines := ""
	addresses := s.pod.addresses.pod
	if len(addresses) == 0 && s.pod.Spec.Subdomain != "" && s.loopback.IsValid() {
		addresses = []netip.Addr{s.loopback}
	}
	for _, ip := range addresses {
		lines += ip.String() + "\t" + s.pod.hostsNames() + "\n"
	}
	if lines == "" {
		return nil
	}
	s.hosts = localHosts + lines + s.pod.aliases()
	return writeForAll(s.hostsFile("hosts"), s.hosts)
}

// hostsNames are the pod's in /etc/hosts, as the kubelet writes them.
func (p *Pod) hostsNames() string {
	name := p.Hostname()
	if p.Spec.Subdomain == "" {
		return name
	}
	return name + "." + p.Spec.Subdomain + ".default.svc." + clusterDomain + "\t" + name
}

// wantsAddresses is the first field that refers to one of the pod's addresses,
// or "".
func (p *Pod) wantsAddresses() string {
	for i := range p.Spec.Containers {
		for j, v := range p.Spec.Containers[i].Env {
			if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && isAddressField(v.ValueFrom.FieldRef.FieldPath) {
				return fmt.Sprintf("%s.env[%d].valueFrom.fieldRef.fieldPath", containerPath(i), j)
			}
		}
	}
	return ""
}

func isAddressField(path string) bool {
	switch path {
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return true
	}
	return false
}

// field is the value of a status field that isAddressField knows. Before the
// pod has its network it is empty.
func (a *addresses) field(path string) string {
	if a == nil {
		return ""
	}
	if path == "status.hostIP" || path == "status.hostIPs" {
		return a.host.String()
	}
	text := ""
	for i, ip := range a.pod {
		if i > 0 && path == "status.podIP" {
			break
		}
		if i > 0 {
			text += ","
		}
		text += ip.String()
	}
	return text
}

// detach begins to take the pod's network from it, for which the kernel takes
// some 15 ms. What it returns waits for the end of that.
func (s *Supervisor) detach(ctx context.Context) (wait func() error) {
	done := make(chan error, 1)
	go func() {
		if s.attached == nil {
			done <- nil
			return
		}
		done <- s.attached.Detach(ctx)
	}()
	return func() error { return <-done }
}

// clearNetwork gives back the network of a pod whose supervisor died.
func (s *Store) clearNetwork(ctx context.Context, p place) error {
	return networks.Release(ctx, s.networkDir(), p.name)
}
