package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/peapod/peapod/proxy"
)

// proxyServer is a running proxy whose settings can change.
type proxyServer struct {
	log   *slog.Logger
	proxy proxy.Proxy
	fixed proxyConfig // what cannot change

	mu       sync.Mutex
	grace    time.Duration
	services []*runningService // in the order of the file
	networks map[string]*network
	metrics  *metricsServer // nil: none
}

// runningService is a service and its listeners.
type runningService struct {
	name   string
	target *target
	fronts []runningFront // in the order of the file
}

type runningFront struct {
	listen listenAddress
	front  *proxy.Front
}

func newProxyServer(log *slog.Logger, config *proxyConfig) *proxyServer {
	s := &proxyServer{log: log, fixed: *config}
	s.proxy.DialTimeout = time.Duration(config.ConnectTimeout)
	s.proxy.DialRetry = time.Duration(config.ConnectRetry)
	s.proxy.IdleTimeout = time.Duration(config.IdleTimeout)
	s.proxy.MaxConns = config.MaxConns
	s.proxy.Log = log
	return s
}

// apply makes the settings those of config: what can fail comes first, and
// leaves nothing behind when it does.
func (s *proxyServer) apply(config *proxyConfig) error {
	if err := s.checkFixed(config); err != nil {
		return err
	}
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
	s.services, s.networks, s.metrics, s.grace = next.services, next.networks, next.metrics, defaultGracePeriod
	if config.GracePeriod != nil {
		s.grace = time.Duration(*config.GracePeriod)
	}
	grace := s.grace
	s.mu.Unlock()

	if oldMetrics != nil && oldMetrics != next.metrics {
		oldMetrics.close()
	}
	for path, n := range oldNetworks {
		if next.networks[path] != n {
			n.close()
		}
	}
	s.retire(old, next.services, grace)
	return nil
}

// checkFixed refuses changes of what a running proxy cannot change.
func (s *proxyServer) checkFixed(config *proxyConfig) error {
	for _, f := range []struct {
		field string
		same  bool
	}{
		{"connectTimeout", config.ConnectTimeout == s.fixed.ConnectTimeout},
		{"connectRetry", config.ConnectRetry == s.fixed.ConnectRetry},
		{"idleTimeout", config.IdleTimeout == s.fixed.IdleTimeout},
		{"maxConns", config.MaxConns == s.fixed.MaxConns},
	} {
		if !f.same {
			return config.errorf(f.field, "it cannot change while the proxy runs: restart it")
		}
	}
	return nil
}

// preparation is new settings before they are in force.
type preparation struct {
	services []*runningService
	networks map[string]*network
	metrics  *metricsServer
	changes  []func() // to what runs already; they cannot fail
	made     []func() // undoes what was made, the last first
}

func (p *preparation) undo() {
	for i := len(p.made) - 1; i >= 0; i-- {
		p.made[i]()
	}
}

func (s *proxyServer) prepare(next *preparation, config *proxyConfig) error {
	taken := map[*runningService]string{}
	for i := range config.Services {
		at := fmt.Sprintf("services[%d]", i)
		had := s.running(&config.Services[i])
		if other := taken[had]; had != nil && other != "" {
			return config.errorf(at+".listen", "its addresses and those of %s were one service's: restart the proxy to part them", other)
		}
		taken[had] = at
		service, err := s.prepareService(next, config, i, had)
		if err != nil {
			return err
		}
		next.services = append(next.services, service)
	}
	if s.metrics != nil && s.metrics.addr == config.Metrics {
		next.metrics = s.metrics
		return nil
	}
	m, err := s.listenMetrics(config.Metrics)
	if err != nil {
		return config.errorf("metrics", "%w", err)
	}
	next.metrics = m
	return nil
}

// running finds the service that has one of the addresses already, or else the
// name. The port 0 stands for a different one each time.
func (s *proxyServer) running(config *proxyService) *runningService {
	for _, service := range s.services {
		for _, a := range config.Listen {
			if !a.any() && service.front(a) != nil {
				return service
			}
		}
	}
	for _, service := range s.services {
		if service.name == config.Name {
			return service
		}
	}
	return nil
}

func (r *runningService) front(a listenAddress) *proxy.Front {
	for _, f := range r.fronts {
		if f.listen == a {
			return f.front
		}
	}
	return nil
}

// prepareService makes what a service needs and does not have yet.
func (s *proxyServer) prepareService(next *preparation, config *proxyConfig, i int, had *runningService) (*runningService, error) {
	c, at := &config.Services[i], fmt.Sprintf("services[%d]", i)
	for j, b := range c.Backends {
		if err := s.prepareNetwork(next, b.Netns); err != nil {
			field := fmt.Sprintf("%s.backends[%d].netns", at, j)
			if b.Netns == c.Netns {
				field = at + ".netns"
			}
			return nil, config.errorf(field, "%w", err)
		}
	}
	service := &runningService{name: c.Name}
	if had == nil {
		service.target = newTarget(c)
		service.target.set(c, next.networks) // before the first connection
	} else {
		service.target = had.target
		if field := had.target.changed(c); field != "" {
			return nil, config.errorf(at+"."+field, "it cannot change while the proxy runs: restart it")
		}
		next.changes = append(next.changes, func() { service.target.set(c, next.networks) })
	}
	for j, a := range c.Listen {
		front := (*proxy.Front)(nil)
		if had != nil {
			front = had.front(a)
		}
		if front == nil {
			var err error
			if front, err = s.proxy.Forward(context.Background(), string(a), service.target.pool); err != nil {
				return nil, config.errorf(fmt.Sprintf("%s.listen[%d]", at, j), "%w", err)
			}
			next.made = append(next.made, func() { front.Close() })
		}
		service.fronts = append(service.fronts, runningFront{a, front})
	}
	return service, nil
}

// prepareNetwork opens the network namespace at path.
func (s *proxyServer) prepareNetwork(next *preparation, path string) error {
	if path == "" || next.networks[path] != nil {
		return nil
	}
	n, err := openNetwork(path, s.networks[path])
	if err != nil {
		return err
	}
	next.networks[path] = n
	if n != s.networks[path] {
		next.made = append(next.made, n.close)
	}
	return nil
}

// retire stops listeners that are not in next, and lets their connections end.
func (s *proxyServer) retire(old, next []*runningService, grace time.Duration) {
	stays := map[*proxy.Front]bool{}
	for _, service := range next {
		for _, f := range service.fronts {
			stays[f.front] = true
		}
	}
	for _, service := range old {
		for _, f := range service.fronts {
			if !stays[f.front] {
				go s.drain(f, grace)
			}
		}
	}
}

func (s *proxyServer) drain(f runningFront, grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if f.front.Shutdown(ctx) != nil {
		s.log.Warn("connections were cut: the grace period is over", "listen", string(f.listen))
	}
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
			list = append(list, listeningAt{service.name, f.front.Addr().String()})
		}
	}
	return list
}

// close ends all that is left.
func (s *proxyServer) close() {
	s.proxy.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metrics != nil {
		s.metrics.close()
	}
	for _, n := range s.networks {
		n.close()
	}
}
