package main

import "fmt"

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

func (r *runningService) front(a listenAddress) *runningFront {
	for _, f := range r.fronts {
		if f.listen == a {
			return f
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
	if err := checkTransparent(c, next.networks); err != nil {
		return nil, config.errorf(at+".transparent", "%w", err)
	}
	service := &runningService{name: c.Name}
	if had == nil {
		service.target = newTarget(c, s.log)
		service.target.set(c, next.networks) // before the first connection
		next.made = append(next.made, service.target.end)
		next.changes = append(next.changes, func() { service.target.startChecks(c.Name, s.log) })
	} else {
		service.target = had.target
		if field := had.target.changed(c); field != "" {
			return nil, config.errorf(at+"."+field, "it cannot change while the proxy runs: restart it")
		}
		next.changes = append(next.changes, func() { service.target.set(c, next.networks) })
	}
	for j, a := range c.Listen {
		var front *runningFront
		if had != nil {
			front = had.front(a)
		}
		if front == nil {
			var err error
			if front, err = service.target.listen(a); err != nil {
				return nil, config.errorf(fmt.Sprintf("%s.listen[%d]", at, j), "%w", err)
			}
			next.made = append(next.made, func() { front.close(); service.target.forget(front) })
		}
		service.fronts = append(service.fronts, front)
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
