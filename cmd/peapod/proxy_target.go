package main

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/peapod/peapod/proxy"
)

// target is where a service's connections go to; its backends change while they
// arrive. The proxies of all services share their event loops.
type target struct {
	pool  *proxy.Pool
	proxy *proxy.Proxy
	fixed fixedSettings
}

// fixedSettings are those that stay for as long as a service runs.
type fixedSettings struct {
	pool                                      proxy.PoolOptions
	connectTimeout, connectRetry, idleTimeout duration
	maxConns                                  int
	proxyProtocolIn                           bool
}

func (c *proxyService) fixed() fixedSettings {
	return fixedSettings{
		pool: proxy.PoolOptions{
			Policy:       proxy.Policy(c.Balance),
			Affinity:     time.Duration(c.Affinity),
			SlowStart:    time.Duration(c.SlowStart),
			Queue:        c.Queue,
			QueueTimeout: time.Duration(c.QueueTimeout),
			DrainTimeout: time.Duration(c.DrainTimeout),
		},
		connectTimeout: c.ConnectTimeout,
		connectRetry:   c.ConnectRetry,
		idleTimeout:    c.IdleTimeout,
		maxConns:       c.MaxConns,

		proxyProtocolIn: c.ProxyProtocolIn,
	}
}

func newTarget(c *proxyService, log *slog.Logger) *target {
	fixed := c.fixed()
	return &target{
		pool:  proxy.NewPool(fixed.pool),
		fixed: fixed,
		proxy: &proxy.Proxy{
			DialTimeout: time.Duration(c.ConnectTimeout),
			DialRetry:   time.Duration(c.ConnectRetry),
			IdleTimeout: time.Duration(c.IdleTimeout),
			MaxConns:    c.MaxConns,

			ClientHeader: c.ProxyProtocolIn,
			Log:          log,
		},
	}
}

// changed is the first field of the settings that the target was not made with,
// "" if there is none.
func (t *target) changed(c *proxyService) string {
	was, is := t.fixed, c.fixed()
	for _, f := range []struct {
		field string
		same  bool
	}{
		{"balance", is.pool.Policy == was.pool.Policy},
		{"affinity", is.pool.Affinity == was.pool.Affinity},
		{"slowStart", is.pool.SlowStart == was.pool.SlowStart},
		{"queue", is.pool.Queue == was.pool.Queue},
		{"queueTimeout", is.pool.QueueTimeout == was.pool.QueueTimeout},
		{"drainTimeout", is.pool.DrainTimeout == was.pool.DrainTimeout},
		{"connectTimeout", is.connectTimeout == was.connectTimeout},
		{"connectRetry", is.connectRetry == was.connectRetry},
		{"idleTimeout", is.idleTimeout == was.idleTimeout},
		{"maxConns", is.maxConns == was.maxConns},
		{"proxyProtocolIn", is.proxyProtocolIn == was.proxyProtocolIn},
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
		if c.ProxyProtocolOut != nil {
			e.Header = *c.ProxyProtocolOut
		}
		if n := networks[b.Netns]; n != nil {
			e.Sockets = &n.sockets
		}
		list[i] = e
	}
	t.pool.Set(list)
}
