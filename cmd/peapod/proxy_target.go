package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/peapod/peapod/namespaces"
)

// target is where a service's connections go to; it changes while they arrive.
type target struct{ to atomic.Pointer[string] }

func (t *target) set(c *proxyService) {
	to := string(c.Backends[0].Address)
	if c.Netns != "" {
		to += inside + c.Netns
	}
	t.to.Store(&to)
}

// Pick implements proxy.Backends.
func (t *target) Pick(context.Context, net.Addr) (string, error) { return *t.to.Load(), nil }

// inside parts an address from the path of its network namespace.
const inside = " inside "

func (s *proxyServer) dial(ctx context.Context, backend string) (net.Conn, error) {
	addr, path, ok := strings.Cut(backend, inside)
	if !ok {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	n := s.networks[path]
	s.mu.Unlock()
	if n == nil {
		return nil, fmt.Errorf("%s is no longer in use", path)
	}
	c, err := namespaces.Dial(ctx, n.file, "tcp", at)
	if err != nil {
		return nil, err
	}
	return c, nil
}
