package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/cli"
)

func proxyFlags() []cli.Flag {
	return []cli.Flag{
		{Kind: cli.Strings, Name: "listen", Short: "l", Usage: "listen on `ADDR`, such as 127.0.0.1:8080, :8080 or udp://:53; may be repeated"},
		{Kind: cli.Strings, Name: "backend", Short: "b", Usage: "pass them on to `ADDR`, or ADDR,weight=N,max-conns=N; may be repeated"},
		{Kind: cli.String, Name: "netns", Usage: "connect inside of the network namespace at `PATH`"},
		{Kind: cli.String, Name: "balance", Usage: "choose by `POLICY` random, round-robin or source-hash", DefaultText: "random"},
		{Kind: cli.String, Name: "affinity", Usage: "send clients to the backend that they had within `DURATION`"},
		{Kind: cli.String, Name: "slow-start", Usage: "give a backend that comes back its full share after `DURATION`"},
		{Kind: cli.Int, Name: "queue", Usage: "have at most `N` clients wait where all backends are full", DefaultText: "0"},
		{Kind: cli.String, Name: "queue-timeout", Usage: "turn them away after `DURATION`", DefaultText: "10s"},
		{Kind: cli.String, Name: "check", Usage: "look whether backends take connections, by `KIND` tcp", DefaultText: "no checks"},
		{Kind: cli.String, Name: "check-interval", Usage: "check each every `DURATION`", DefaultText: "2s"},
		{Kind: cli.String, Name: "check-timeout", Usage: "give a check `DURATION`", DefaultText: "the interval"},
		{Kind: cli.Int, Name: "rise", Usage: "a backend that is down is up after `N` good checks", DefaultText: "2"},
		{Kind: cli.Int, Name: "fall", Usage: "one that is up is down after `N` failed checks", DefaultText: "3"},
		{Kind: cli.Int, Name: "eject-after", Usage: "set a backend aside after `N` failures in a row; 0: never", DefaultText: "1"},
		{Kind: cli.String, Name: "eject-time", Usage: "for `DURATION`, and twice as long each time in a row", DefaultText: "100ms"},
		{Kind: cli.String, Name: "max-eject-time", Usage: "up to `DURATION`", DefaultText: "30s"},
		{Kind: cli.String, Name: "connect-timeout", Usage: "give an attempt to connect `DURATION`", DefaultText: "10s"},
		{Kind: cli.String, Name: "connect-retry", Usage: "try all backends again for `DURATION`", DefaultText: "each is tried once"},
		{Kind: cli.String, Name: "idle-timeout", Usage: "cut connections on which nothing moves for `DURATION`", DefaultText: "never; UDP: 30s, or 2m once there are answers"},
		{Kind: cli.Int, Name: "max-conns", Usage: "have at most `N` connections at a time; others wait", DefaultText: "no limit; UDP: 4096 flows, of which the idlest goes"},
		{Name: "proxy-protocol-in", Usage: "clients are proxies, and begin with a PROXY protocol header"},
		{Kind: cli.Int, Name: "proxy-protocol-out", Usage: "tell backends who the client is, by PROXY protocol `VERSION` 1 or 2"},
		{Name: "transparent", Usage: "connect to backends from the clients' addresses"},
		{Kind: cli.String, Name: "grace-period", Usage: "give connections `DURATION` to end after SIGTERM", DefaultText: "30s"},
		{Kind: cli.String, Name: "metrics", Usage: "serve /metrics and /status over HTTP at `ADDR`, or unix:PATH"},
		{Kind: cli.String, Name: "config", Usage: "read `FILE`, in place of the other options"},
	}
}

// parser is a value that is read from a text.
type parser interface{ parse(string) error }

// proxyOptions reads the file, or the options, and checks them.
func proxyOptions(c *cli.Context) (*proxyConfig, error) {
	if c.IsSet("config") {
		for _, f := range c.Command.Flags {
			if f.Name != "config" && c.IsSet(f.Name) {
				return nil, fmt.Errorf("proxy: --%s: the file of --config says all: give one of both", f.Name)
			}
		}
		return readProxyConfig(c.String("config"))
	}
	service := proxyService{Netns: c.String("netns"), Queue: c.Int("queue"), MaxConns: c.Int("max-conns")}
	service.ProxyProtocolIn, service.Transparent = c.Bool("proxy-protocol-in"), c.Bool("transparent")
	for _, o := range []struct {
		name string
		into **int
	}{
		{"proxy-protocol-out", &service.ProxyProtocolOut}, {"eject-after", &service.EjectAfter},
		{"rise", &service.Rise}, {"fall", &service.Fall},
	} {
		if c.IsSet(o.name) {
			*o.into = new(c.Int(o.name))
		}
	}
	config := new(proxyConfig)
	if c.IsSet("grace-period") {
		config.GracePeriod = new(duration)
	}
	for _, o := range []struct {
		name string
		into parser
	}{
		{"balance", &service.Balance}, {"affinity", &service.Affinity}, {"slow-start", &service.SlowStart},
		{"queue-timeout", &service.QueueTimeout}, {"connect-timeout", &service.ConnectTimeout},
		{"connect-retry", &service.ConnectRetry}, {"idle-timeout", &service.IdleTimeout},
		{"check", &service.Check}, {"check-interval", &service.CheckInterval}, {"check-timeout", &service.CheckTimeout},
		{"eject-time", &service.EjectTime}, {"max-eject-time", &service.MaxEjectTime},
		{"grace-period", config.GracePeriod}, {"metrics", &config.Metrics},
	} {
		if !c.IsSet(o.name) {
			continue
		}
		if err := o.into.parse(c.String(o.name)); err != nil {
			return nil, fmt.Errorf("proxy: --%s: %w", o.name, err)
		}
	}
	if err := service.options(c); err != nil {
		return nil, err
	}
	config.Services = []proxyService{service}
	return config, config.check()
}

// options reads those that may be repeated.
func (s *proxyService) options(c *cli.Context) error {
	for _, text := range c.Strings("listen") {
		var a listenAddress
		if err := a.parse(text); err != nil {
			return fmt.Errorf("proxy: --listen: %w", err)
		}
		s.Listen = append(s.Listen, a)
	}
	for _, text := range c.Strings("backend") {
		var b proxyBackend
		if err := b.parse(text); err != nil {
			return fmt.Errorf("proxy: --backend: %w", err)
		}
		s.Backends = append(s.Backends, b)
	}
	switch {
	case len(s.Listen) == 0:
		return errors.New("proxy: --listen is missing: give --listen ADDR and --backend ADDR, or --config FILE")
	case len(s.Backends) == 0:
		return errors.New("proxy: --backend is missing: give an address, such as --backend 127.0.0.1:80")
	}
	return nil
}

// parse reads ADDR[,weight=N][,max-conns=N].
func (b *proxyBackend) parse(text string) error {
	addr, rest, more := strings.Cut(text, ",")
	if err := b.Address.parse(addr); err != nil {
		return err
	}
	for more {
		var one string
		one, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(one, "=")
		n, err := strconv.Atoi(value)
		switch {
		case name != "weight" && name != "max-conns":
			return fmt.Errorf("%q: behind the address there are weight=N and max-conns=N, not %q", text, one)
		case err != nil:
			return fmt.Errorf("%q: %s: %q is not a number", text, name, value)
		case name == "weight":
			b.Weight = &n
		default:
			b.MaxConns = n
		}
	}
	return nil
}
