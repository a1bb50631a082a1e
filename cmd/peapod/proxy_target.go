package main

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/peapod/peapod/proxy"
)

// target is where a service's connections go to; its backends change while they
// arrive. The proxies of all services share their event loops.
type target struct {
	pool  *proxy.Pool
	proxy *proxy.Proxy
	fixed fixedSettings

	stopChecks func()

	mu   sync.Mutex
	udp  []*runningFront // that have flows, or may have
	past proxy.UDPStats  // of those that have gone
}

// fixedSettings are those that stay for as long as a service runs.
type fixedSettings struct {
	pool                                      proxy.PoolOptions
	connectTimeout, connectRetry, idleTimeout duration
	maxConns                                  int
	proxyProtocolIn                           bool
	check                                     check
	interval, checkTimeout                    duration
	rise, fall                                int
}

func (c *proxyService) fixed() fixedSettings {
	ejectAfter := number(c.EjectAfter)
	if c.EjectAfter != nil && *c.EjectAfter == 0 {
		ejectAfter = -1
	}
	return fixedSettings{
		pool: proxy.PoolOptions{
			Policy:       proxy.Policy(c.Balance),
			Affinity:     time.Duration(c.Affinity),
			SlowStart:    time.Duration(c.SlowStart),
			Queue:        c.Queue,
			QueueTimeout: time.Duration(c.QueueTimeout),
			DrainTimeout: time.Duration(c.DrainTimeout),
			EjectAfter:   ejectAfter,
			EjectTime:    time.Duration(c.EjectTime),
			MaxEjectTime: time.Duration(c.MaxEjectTime),
		},
		connectTimeout: c.ConnectTimeout,
		connectRetry:   c.ConnectRetry,
		idleTimeout:    c.IdleTimeout,
		maxConns:       c.MaxConns,

		proxyProtocolIn: c.ProxyProtocolIn,

		check:        c.Check,
		interval:     c.CheckInterval,
		checkTimeout: c.CheckTimeout,
		rise:         number(c.Rise),
		fall:         number(c.Fall),
	}
}

// number is 0 for what is not given.
func number(n *int) int {
	if n == nil {
		return 0
	}
	return *n
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

// startChecks begins to look after the backends, if that is asked for.
func (t *target) startChecks(name string, log *slog.Logger) {
	if t.fixed.check == "" {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.stopChecks = func() { cancel(); done.Wait() }
	done.Go(func() {
		t.pool.Watch(ctx, proxy.Check{
			Interval: time.Duration(t.fixed.interval),
			Timeout:  time.Duration(t.fixed.checkTimeout),
			Rise:     t.fixed.rise,
			Fall:     t.fixed.fall,
			Log:      log.With("service", name),
		})
	})
}

// end ends what is left of it.
func (t *target) end() {
	if t.stopChecks != nil {
		t.stopChecks()
	}
	t.proxy.Close()
	for _, f := range t.udpFronts() {
		f.close()
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
		{"ejectAfter", is.pool.EjectAfter == was.pool.EjectAfter},
		{"ejectTime", is.pool.EjectTime == was.pool.EjectTime},
		{"maxEjectTime", is.pool.MaxEjectTime == was.pool.MaxEjectTime},
		{"check", is.check == was.check},
		{"checkInterval", is.interval == was.interval},
		{"checkTimeout", is.checkTimeout == was.checkTimeout},
		{"rise", is.rise == was.rise},
		{"fall", is.fall == was.fall},
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
		e := proxy.Endpoint{ID: b.id(), Addr: netip.MustParseAddrPort(string(b.Address)), MaxConns: b.MaxConns, Transparent: c.Transparent}
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
