package proxy

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// bindClient gives a socket that is about to be connected to an endpoint the
// client's address, and its port unless that is 0: then the kernel chooses one
// in connect, among all that are not in use between these two addresses.
func bindClient(fd int, client netip.AddrPort, endpoint netip.Addr) error {
	ip := client.Addr().Unmap()
	if ip.Is4() != endpoint.Unmap().Is4() {
		return fmt.Errorf("use the client's address %s to connect to %s: they are of different families", ip, endpoint)
	}
	allowed := allowForeign(fd, ip)
	if allowed != nil && !errors.Is(allowed, unix.EPERM) {
		return fmt.Errorf("use the client's address %s: %w", ip, allowed)
	}
	if client.Port() == 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("use the client's address %s: setsockopt IP_BIND_ADDRESS_NO_PORT: %w", ip, err)
		}
	}
	err := unix.Bind(fd, socketAddress(netip.AddrPortFrom(ip, client.Port())))
	switch {
	case err == nil: // also where the privilege is missing: it is a local address
		return nil
	case allowed != nil:
		return fmt.Errorf("use the client's address %s: %w", ip, allowed)
	}
	return fmt.Errorf("use the client's address %s: bind: %w", client, err)
}

// allowForeign lets a socket have an address that may not be local.
func allowForeign(fd int, ip netip.Addr) error {
	switch {
	case ip.IsLoopback():
		return nil
	case ip.Is4():
		err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("setsockopt IP_TRANSPARENT: %w; it needs CAP_NET_ADMIN or CAP_NET_RAW in the user namespace of the socket's network namespace", err)
		}
		if err != nil {
			return fmt.Errorf("setsockopt IP_TRANSPARENT: %w", err)
		}
	default:
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return fmt.Errorf("setsockopt IPV6_FREEBIND: %w", err)
		}
	}
	return nil
}

// socketAddress is for calls that are not made for each TCP connection.
func socketAddress(a netip.AddrPort) unix.Sockaddr {
	if ip := a.Addr(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: scopeOf(a.Addr())}
}

// Addresses that no client has (RFC 5737, RFC 3849).
var (
	nobody4 = netip.MustParseAddr("192.0.2.1")
	nobody6 = netip.MustParseAddr("2001:db8::1")
)

// CheckTransparent reports why connections to an endpoint, made with sockets of
// s (nil: of this process's namespace), cannot have the addresses of clients from
// other machines. It returns nil if they can: the socket may have such an
// address, and replies from the endpoint to it come back. The error says what is
// missing; errors.Is(err, unix.EPERM) is true for privilege, unix.ENETUNREACH for
// the routes that replies need. The endpoint has to be a loopback address.
// Nothing is sent.
//
// # What it takes
//
// A proxy may give its connection to an endpoint the address of the client. Here
// the proxy's socket, the program that listens and the route between them all
// lie in one network namespace, the pod's. There it takes:
//
// Clients of 127.0.0.0/8 and ::1, and of addresses that the namespace has:
// nothing. The address is local, any socket may be bound to it.
//
// Others, such as 10.1.2.3, over IPv4: IP_TRANSPARENT, without which nothing is
// sent from an address that is not local (IP_FREEBIND lets a socket be bound to
// it, and connect fails with ENETUNREACH). The option takes CAP_NET_ADMIN or
// CAP_NET_RAW in the user namespace that owns the network namespace; who made
// that user namespace has them from outside of it too.
//
// Over IPv6: IPV6_FREEBIND, which takes no privilege. No more is asked for.
//
// For both, replies have to come back. They are sent to the client's address,
// and where that is not local they leave by the default route, or there is none:
// the connection then times out, since it is the handshake's second packet that
// is lost. Two routes, which a pod gets once, bring them back:
//
//	ip rule add from 127.0.0.0/8 lookup 127
//	ip route add local 0.0.0.0/0 dev lo table 127
//
//	ip -6 rule add from ::1 lookup 127
//	ip -6 route add local ::/0 dev lo table 127
//
// They hold for what is sent from a loopback address: the replies of a program
// that was connected to at one, on whatever address it listens. A program that
// connects to the outside has no address yet when its route is looked up, and
// goes on as before. Nothing else could legitimately leave from 127.0.0.1 to
// another machine. The rules' preference must be between that of the table
// local (0) and that of main (32766), which is what ip rule gives them; reverse
// path filtering does not matter, since packets over lo keep the route that they
// were sent by.
//
// Endpoints that are connected to at another address than a loopback one would
// need marks: SO_MARK on the proxy's socket, the sysctl net.ipv4.tcp_fwmark_accept,
// and a rule for the mark. A rule "from" their address would catch what they send
// to real clients.
func CheckTransparent(s *Sockets, endpoint netip.Addr) error {
	const cannot = "clients' addresses cannot be kept"
	endpoint = endpoint.Unmap()
	if !endpoint.IsLoopback() {
		return fmt.Errorf("%s: %w: %s is not a loopback address", cannot, ErrAddress, endpoint)
	}
	domain, client := unix.AF_INET, nobody4
	if !endpoint.Is4() {
		domain, client = unix.AF_INET6, nobody6
	}
	fd, err := s.one(domain, unix.SOCK_DGRAM)
	if err != nil {
		return fmt.Errorf("%s: make a socket to try it: %w", cannot, err)
	}
	defer unix.Close(fd)
	if err := bindClient(fd, netip.AddrPortFrom(client, 0), endpoint); err != nil {
		return fmt.Errorf("%s: %w", cannot, err)
	}
	if err := checkReplies(s, domain, endpoint, client); err != nil {
		return fmt.Errorf("%s: replies from %s to other machines do not come back to the proxy: %w", cannot, endpoint, err)
	}
	return nil
}

// checkReplies looks up the route from the endpoint to the client, by connecting
// a UDP socket.
func checkReplies(s *Sockets, domain int, endpoint, client netip.Addr) error {
	fd, err := s.one(domain, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if domain == unix.AF_INET6 {
		// IPv6 would let it leave by another interface. IPv4 does not, and
		// takes every address for reachable over a given one.
		if err := unix.BindToDevice(fd, "lo"); err != nil {
			return fmt.Errorf("bind to lo: %w", err)
		}
	}
	if err := unix.Bind(fd, socketAddress(netip.AddrPortFrom(endpoint, 0))); err != nil {
		return fmt.Errorf("bind to %s: %w", endpoint, err)
	}
	err = unix.Connect(fd, socketAddress(netip.AddrPortFrom(client, 9)))
	if errors.Is(err, unix.EINVAL) {
		return unix.ENETUNREACH // its route is over another interface than lo
	}
	return err
}

// one returns a socket at once, from s or, if s is nil, of the namespace of the
// process.
func (s *Sockets) one(domain, typ int) (int, error) {
	if s != nil {
		return s.get(domain, typ)
	}
	return unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}
