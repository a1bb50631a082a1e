package proxy

import (
	"net"
	"net/netip"
)

// LedListener is a listener to which the kernel leads connections that clients make
// to another address, To. This is what endpoints are told (see [Endpoint.Header]),
// and what the front is called.
type LedListener struct {
	*net.TCPListener
	To netip.AddrPort
}

// Addr returns what clients connect to.
func (l *LedListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.To) }
