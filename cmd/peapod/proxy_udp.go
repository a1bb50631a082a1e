package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/peapod/peapod/proxy"
)

// listen begins to take connections, or datagrams, at an address.
func (t *target) listen(a listenAddress) (*runningFront, error) {
	f := &runningFront{listen: a}
	var err error
	if !a.udp() {
		f.tcp, err = t.proxy.Forward(context.Background(), a.addr(), t.pool)
		return f, err
	}
	f.udp, err = proxy.ForwardUDP(a.addrPort(), t.pool, proxy.UDPOptions{
		IdleTimeout: time.Duration(t.fixed.idleTimeout), MaxFlows: t.fixed.maxConns, Log: t.proxy.Log,
	})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.udp = append(t.udp, f)
	return f, nil
}

// forget is called with a listener that has gone.
func (t *target) forget(f *runningFront) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.udp, f); i >= 0 {
		t.udp = slices.Delete(t.udp, i, i+1)
		t.past = addUDP(t.past, f.udp.Stats())
	}
}

func (t *target) udpFronts() []*runningFront {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.udp)
}

// udpStats are the counters of all its listeners since it was made.
func (t *target) udpStats() proxy.UDPStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.past
	for _, f := range t.udp {
		sum = addUDP(sum, f.udp.Stats())
	}
	return sum
}

func addUDP(a, b proxy.UDPStats) proxy.UDPStats {
	return proxy.UDPStats{
		Active: a.Active + b.Active, Total: a.Total + b.Total, Expired: a.Expired + b.Expired,
		Evicted: a.Evicted + b.Evicted, Failed: a.Failed + b.Failed,
		DatagramsIn: a.DatagramsIn + b.DatagramsIn, DatagramsOut: a.DatagramsOut + b.DatagramsOut,
		In: a.In + b.In, Out: a.Out + b.Out, Dropped: a.Dropped + b.Dropped,
	}
}

// shutdown listens no more and lets connections and flows end until ctx does. The
// error is nil if none was cut.
func (t *target) shutdown(ctx context.Context) error {
	fronts := t.udpFronts()
	errs := make([]error, len(fronts)+1)
	var ended sync.WaitGroup
	ended.Go(func() { errs[len(fronts)] = t.proxy.Shutdown(ctx) })
	for i, f := range fronts {
		ended.Go(func() { errs[i] = f.shutdown(ctx) })
	}
	ended.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkUDP refuses what UDP does not have.
func checkUDP(s *proxyService, at string, fail func(field, format string, args ...any)) {
	udp := slices.ContainsFunc(s.Listen, listenAddress.udp)
	only := udp && !slices.ContainsFunc(s.Listen, func(a listenAddress) bool { return !a.udp() })
	for _, c := range []struct {
		field   string
		refused bool
	}{
		{"proxyProtocolIn", udp && s.ProxyProtocolIn}, {"proxyProtocolOut", udp && s.ProxyProtocolOut != nil}, {"transparent", udp && s.Transparent},
		{"queue", only && s.Queue > 0}, {"queueTimeout", only && s.QueueTimeout > 0},
		{"connectTimeout", only && s.ConnectTimeout > 0}, {"connectRetry", only && s.ConnectRetry > 0},
	} {
		if c.refused {
			fail(at+"."+c.field, "there is no such thing for UDP: leave it out, or the listeners behind udp://")
		}
	}
}
