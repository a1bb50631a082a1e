package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/peapod/peapod/proxy"
)

// proxyServer is a running proxy whose settings can change.
type proxyServer struct {
	log *slog.Logger

	mu       sync.Mutex
	grace    time.Duration
	services []*runningService    // in the order of the file
	targets  map[*target]struct{} // theirs, and those that are drained
	networks map[string]*network
	metrics  *metricsServer // nil: none
}

// runningService is a service and its listeners.
type runningService struct {
	name   string
	target *target
	fronts []*runningFront // in the order of the file
}

// runningFront is a listener; one of tcp and udp is nil.
type runningFront struct {
	listen listenAddress
	tcp    *proxy.Front
	udp    *proxy.UDPFront
}

// addr is where it listens, behind udp:// where that is UDP.
func (f *runningFront) addr() string {
	if f.udp != nil {
		return schemeUDP + f.udp.Addr().String()
	}
	return f.tcp.Addr().String()
}

func (f *runningFront) shutdown(ctx context.Context) error {
	if f.udp != nil {
		return f.udp.Shutdown(ctx)
	}
	return f.tcp.Shutdown(ctx)
}

func (f *runningFront) close() {
	if f.udp != nil {
		f.udp.Close()
	} else {
		f.tcp.Close()
	}
}

func newProxyServer(log *slog.Logger) *proxyServer {
	return &proxyServer{log: log, targets: map[*target]struct{}{}}
}

// apply makes the settings those of config: what can fail comes first, and
// leaves nothing behind when it does.
func (s *proxyServer) apply(config *proxyConfig) error {
	next := &preparation{networks: map[string]*network{}}
	if err := s.prepare(next, config); err != nil {
		next.undo()
		return err
	}
	s.mu.Lock()
	old, oldMetrics, oldNetworks := s.services, s.metrics, s.networks
	for _, change := range next.changes {
		change()
	}
	for _, service := range next.services {
		s.targets[service.target] = struct{}{}
	}
	s.services, s.networks, s.metrics, s.grace = next.services, next.networks, next.metrics, defaultGracePeriod
	if config.GracePeriod != nil {
		s.grace = time.Duration(*config.GracePeriod)
	}
	grace := s.grace
	s.mu.Unlock()

	if oldMetrics != nil && oldMetrics != next.metrics {
		oldMetrics.close()
	}
	gone := s.retire(old, next.services, grace)
	go func() {
		// Clients of listeners that went may still be on their way.
		gone.Wait()
		for path, n := range oldNetworks {
			if next.networks[path] != n {
				n.close()
			}
		}
	}()
	return nil
}

// retire stops what is not in next, and lets its connections end, which can be
// waited for.
func (s *proxyServer) retire(old, next []*runningService, grace time.Duration) *sync.WaitGroup {
	gone := new(sync.WaitGroup)
	drain := func(name string, shutdown func(context.Context) error, after func()) {
		gone.Go(func() {
			defer after()
			ctx, cancel := context.WithTimeout(context.Background(), grace)
			defer cancel()
			if shutdown(ctx) != nil {
				s.log.Warn("connections were cut: the grace period is over", "of", name)
			}
		})
	}
	stays := map[any]bool{}
	for _, service := range next {
		stays[service.target] = true
		for _, f := range service.fronts {
			stays[f] = true
		}
	}
	for _, service := range old {
		if !stays[service.target] {
			drain(service.name, service.target.shutdown, func() {
				service.target.end()
				s.forget(service.target)
			})
			continue
		}
		for _, f := range service.fronts {
			if !stays[f] {
				drain(string(f.listen), f.shutdown, func() { service.target.forget(f) })
			}
		}
	}
	return gone
}

func (s *proxyServer) forget(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.targets, t)
}

// all are the targets that have connections, or may have.
func (s *proxyServer) all() []*target {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.targets))
}

// active is how many connections are open.
func (s *proxyServer) active() (n int64) {
	for _, t := range s.all() {
		n += t.proxy.Stats().Active + t.udpStats().Active
	}
	return n
}

// shutdown stops listening and lets connections end until ctx does. The error
// is nil if none was cut.
func (s *proxyServer) shutdown(ctx context.Context) error {
	var ended sync.WaitGroup
	all := s.all()
	errs := make([]error, len(all))
	for i, t := range all {
		ended.Go(func() { errs[i] = t.shutdown(ctx) })
	}
	ended.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *proxyServer) gracePeriod() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grace
}

type listeningAt struct{ service, addr string }

func (s *proxyServer) listening() (list []listeningAt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.services {
		for _, f := range service.fronts {
			list = append(list, listeningAt{service.name, f.addr()})
		}
	}
	return list
}

// close ends all that is left.
func (s *proxyServer) close() {
	for _, t := range s.all() {
		t.end()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metrics != nil {
		s.metrics.close()
	}
	for _, n := range s.networks {
		n.close()
	}
}
