package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrAddress is wrapped by errors about an address that cannot be right.
var ErrAddress = errors.New("invalid address")

// Backends says where a connection goes. A value that also has a method
// Validate() error is validated before the proxy listens.
//
// Pick is called for each attempt to connect, from many goroutines at once. The
// address that it returns is handed to [Proxy.Dial].
type Backends interface {
	Pick(ctx context.Context, client net.Addr) (addr string, err error)
}

// Backend is the one backend "host:port" of all connections. The host is an IP
// address (IPv6 in brackets) or a name that [Proxy.Dial] can resolve.
type Backend string

// Pick returns the backend's address.
func (b Backend) Pick(context.Context, net.Addr) (string, error) { return string(b), nil }

// Validate checks the form of the address; its error wraps [ErrAddress].
func (b Backend) Validate() error {
	host, port, err := splitAddress("backend", string(b))
	switch {
	case err != nil:
		return err
	case host == "":
		return addressError("backend", string(b), "the host is missing; want host:port")
	case port == 0:
		return addressError("backend", string(b), "port 0 cannot be connected to")
	case !isIP(host) && !isName(host):
		return addressError("backend", string(b), fmt.Sprintf("%q is neither an IP address nor a host name", host))
	}
	return nil
}

// validateListen wants an IP address or nothing as host: a name would make the
// address that is listened on depend on a resolver.
func validateListen(addr string) error {
	host, _, err := splitAddress("listen", addr)
	if err == nil && host != "" && !isIP(host) {
		err = addressError("listen", addr, fmt.Sprintf("%q is not an IP address", host))
	}
	return err
}

func addressError(field, addr, reason string) error {
	return fmt.Errorf("%s: %w %q: %s", field, ErrAddress, addr, reason)
}

// splitAddress takes host:port apart. The port is a decimal number without
// sign, space or leading zero.
func splitAddress(field, addr string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		reason := err.Error()
		if e, ok := errors.AsType[*net.AddrError](err); ok {
			reason = e.Err
		}
		return "", 0, addressError(field, addr, reason+"; want host:port")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return "", 0, addressError(field, addr, fmt.Sprintf("port %q is not a number from 0 to 65535", digits))
	}
	if strings.Contains(host, ":") && !isIP(host) {
		return "", 0, addressError(field, addr, fmt.Sprintf("%q is not an IPv6 address", host))
	}
	return host, uint16(n), nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isName accepts what RFC 1123 allows, and underscores, which are in use.
func isName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if len(host) == 0 || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
				return false
			}
		}
	}
	// Digits only after the last dot: meant as an IPv4 address, but none.
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Trim(last, "0123456789") != ""
}
