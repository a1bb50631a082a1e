package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/strict"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// The values of the proxy's settings that have a form of their own.
type (
	// policy is random, round-robin or source-hash.
	policy proxy.Policy
	// duration is written as "1m30s".
	duration time.Duration
	// listenAddress is IP:PORT or :PORT, behind udp:// where it is UDP's.
	listenAddress string
	// backendAddress is IP:PORT.
	backendAddress string
	// check is tcp, or "" for none.
	check string
	// metricsAddress is IP:PORT, :PORT, unix:PATH, or "" for none.
	metricsAddress string
)

// textual decodes values that are strings with a form.
func textual(n *strict.Node, into interface{ parse(string) error }) error {
	if n.Kind != strict.String {
		return fmt.Errorf("found %s, expected a string", n.Kind)
	}
	return into.parse(n.Text)
}

// UnmarshalNode implements strict.Unmarshaler.
func (d *duration) UnmarshalNode(n *strict.Node) error { return textual(n, d) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *listenAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *backendAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *metricsAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

// UnmarshalNode implements strict.Unmarshaler.
func (c *check) UnmarshalNode(n *strict.Node) error { return textual(n, c) }

// UnmarshalNode implements strict.Unmarshaler.
func (p *policy) UnmarshalNode(n *strict.Node) error { return textual(n, p) }

// policies are their names in settings.
var policies = [...]string{proxy.Random: "random", proxy.RoundRobin: "round-robin", proxy.SourceHash: "source-hash"}

func (p *policy) parse(s string) error {
	for i, name := range policies {
		if s == name {
			*p = policy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not known: there are %s", s, strings.Join(policies[:], ", "))
}

func (c *check) parse(s string) error {
	if s != "tcp" {
		return fmt.Errorf("%q is not known: there is tcp", s)
	}
	*c = check(s)
	return nil
}

func (d *duration) parse(s string) error {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: write it as 1m30s or 500ms", s)
	case v < 0:
		return fmt.Errorf("%s is negative", s)
	}
	*d = duration(v)
	return nil
}

func (a *listenAddress) parse(s string) error {
	addr, _ := strings.CutPrefix(s, schemeUDP)
	if err := checkAddress(strings.TrimPrefix(addr, schemeTCP), true); err != nil {
		return err
	}
	*a = listenAddress(strings.TrimPrefix(s, schemeTCP))
	return nil
}

// Schemes of addresses to listen on; TCP's may be left out.
const (
	schemeTCP = "tcp://"
	schemeUDP = "udp://"
)

// addr is the address alone.
func (a listenAddress) addr() string { return strings.TrimPrefix(string(a), schemeUDP) }

func (a listenAddress) udp() bool { return strings.HasPrefix(string(a), schemeUDP) }

// addrPort is a UDP address; all addresses are those of IPv6 too.
func (a listenAddress) addrPort() netip.AddrPort {
	host, port, _ := net.SplitHostPort(a.addr())
	if host == "" {
		host = "::"
		if !hasIPv6() {
			host = "0.0.0.0"
		}
	}
	return netip.MustParseAddrPort(net.JoinHostPort(host, port))
}

func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// any reports whether the kernel is to choose the port.
func (a listenAddress) any() bool { return strings.HasSuffix(string(a), ":0") }

// beyondLoopback reports whether clients on other machines may reach it.
func (a listenAddress) beyondLoopback() bool {
	host, _, _ := net.SplitHostPort(a.addr())
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
}

func (a *backendAddress) parse(s string) error {
	if err := checkAddress(s, false); err != nil {
		return err
	}
	*a = backendAddress(s)
	return nil
}

func (a *metricsAddress) parse(s string) error {
	path, ok := strings.CutPrefix(s, "unix:")
	switch {
	case ok && path == "":
		return errors.New("the path behind unix: is missing")
	case !ok && s != "":
		if err := checkAddress(s, true); err != nil {
			return err
		}
	}
	*a = metricsAddress(s)
	return nil
}

// checkAddress wants IP:PORT; to listen, all addresses, :PORT, and any port, 0,
// are possible too.
func checkAddress(s string, listen bool) error {
	example := "10.0.0.2:80 or [::1]:80"
	if listen {
		example = "127.0.0.1:80, [::1]:80 or :80"
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address: write it as %s", s, example)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != digits {
		return fmt.Errorf("%q: the port %q is not a number up to 65535", s, digits)
	}
	if port == 0 && !listen {
		return fmt.Errorf("%q: port 0 cannot be connected to", s)
	}
	if host == "" && listen {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return fmt.Errorf("%q: %q is not an IP address: write it as %s", s, host, example)
	case ip.IsUnspecified() && !listen:
		return fmt.Errorf("%q: %s is no address to connect to", s, host)
	}
	return nil
}
