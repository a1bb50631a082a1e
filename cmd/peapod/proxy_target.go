package main

import (
	"net/netip"

	"github.com/peapod/peapod/proxy"
)

// target is where a service's connections go to; it changes while they arrive.
type target struct{ pool *proxy.Pool }

func newTarget() *target { return &target{proxy.NewPool(proxy.PoolOptions{})} }

// set replaces the backends; their network is nil where the proxy is.
func (t *target) set(c *proxyService, n *network) {
	var list []proxy.Endpoint
	for _, b := range c.Backends {
		e := proxy.Endpoint{ID: string(b.Address), Addr: netip.MustParseAddrPort(string(b.Address))}
		if n != nil {
			e.ID += " inside " + c.Netns
			e.Sockets = &n.sockets
		}
		list = append(list, e)
	}
	t.pool.Set(list)
}
