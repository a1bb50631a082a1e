package main

import (
	"net/netip"
	"time"

	"github.com/peapod/peapod/proxy"
)

// target is where a service's connections go to; its backends change while they
// arrive.
type target struct {
	pool    *proxy.Pool
	options proxy.PoolOptions
}

func newTarget(c *proxyService) *target {
	o := c.poolOptions()
	return &target{proxy.NewPool(o), o}
}

func (c *proxyService) poolOptions() proxy.PoolOptions {
	return proxy.PoolOptions{
		Policy:       proxy.Policy(c.Balance),
		Affinity:     time.Duration(c.Affinity),
		SlowStart:    time.Duration(c.SlowStart),
		Queue:        c.Queue,
		QueueTimeout: time.Duration(c.QueueTimeout),
		DrainTimeout: time.Duration(c.DrainTimeout),
	}
}

// changed is the first field of the settings that the target was not made with,
// "" if there is none.
func (t *target) changed(c *proxyService) string {
	o := c.poolOptions()
	for _, f := range []struct {
		field string
		same  bool
	}{
		{"balance", o.Policy == t.options.Policy},
		{"affinity", o.Affinity == t.options.Affinity},
		{"slowStart", o.SlowStart == t.options.SlowStart},
		{"queue", o.Queue == t.options.Queue},
		{"queueTimeout", o.QueueTimeout == t.options.QueueTimeout},
		{"drainTimeout", o.DrainTimeout == t.options.DrainTimeout},
	} {
		if !f.same {
			return f.field
		}
	}
	return ""
}

// set replaces the backends. networks are those of their paths.
func (t *target) set(c *proxyService, networks map[string]*network) {
	list := make([]proxy.Endpoint, len(c.Backends))
	for i := range c.Backends {
		b := &c.Backends[i]
		e := proxy.Endpoint{ID: b.id(), Addr: netip.MustParseAddrPort(string(b.Address)), MaxConns: b.MaxConns}
		if b.Weight != nil {
			e.Weight = *b.Weight
		}
		if n := networks[b.Netns]; n != nil {
			e.Sockets = &n.sockets
		}
		list[i] = e
	}
	t.pool.Set(list)
}
