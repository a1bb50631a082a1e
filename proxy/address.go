package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrAddress is wrapped by errors about an address that cannot be right.
var ErrAddress = errors.New("invalid address")

// validateListen wants an IP address or nothing as host: a name would make the
// address that is listened on depend on a resolver.
func validateListen(addr string) error {
	host, _, err := splitAddress(addr)
	if err == nil && host != "" && !isIP(host) {
		err = addressError(addr, fmt.Sprintf("%q is not an IP address", host))
	}
	return err
}

func addressError(addr, reason string) error {
	return fmt.Errorf("listen: %w %q: %s", ErrAddress, addr, reason)
}

// splitAddress takes host:port apart. The port is a decimal number without
// sign, space or leading zero.
func splitAddress(addr string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		reason := err.Error()
		if e, ok := errors.AsType[*net.AddrError](err); ok {
			reason = e.Err
		}
		return "", 0, addressError(addr, reason+"; want host:port")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return "", 0, addressError(addr, fmt.Sprintf("port %q is not a number from 0 to 65535", digits))
	}
	if strings.Contains(host, ":") && !isIP(host) {
		return "", 0, addressError(addr, fmt.Sprintf("%q is not an IPv6 address", host))
	}
	return host, uint16(n), nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
