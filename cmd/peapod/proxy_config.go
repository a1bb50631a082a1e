package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/strict"
)

// proxyConfig is what the file of --config has, or what the options say.
type proxyConfig struct {
	Services    []proxyService `json:"services"`
	Metrics     metricsAddress `json:"metrics"`
	GracePeriod *duration      `json:"gracePeriod"`

	file     string           // "" for options
	document *strict.Document // nil for options
}

// proxyService is a set of addresses whose connections go to the same place.
type proxyService struct {
	Name     string          `json:"name"` // by default the first address
	Listen   []listenAddress `json:"listen"`
	Netns    string          `json:"netns"` // of backends that have no other
	Backends []proxyBackend  `json:"backends"`

	Balance      policy   `json:"balance"`
	Affinity     duration `json:"affinity"`
	SlowStart    duration `json:"slowStart"`
	Queue        int      `json:"queue"`
	QueueTimeout duration `json:"queueTimeout"`
	DrainTimeout duration `json:"drainTimeout"`

	EjectAfter   *int     `json:"ejectAfter"` // 0: never
	EjectTime    duration `json:"ejectTime"`
	MaxEjectTime duration `json:"maxEjectTime"`

	Check         check    `json:"check"`
	CheckInterval duration `json:"checkInterval"`
	CheckTimeout  duration `json:"checkTimeout"`
	Rise          *int     `json:"rise"`
	Fall          *int     `json:"fall"`

	ConnectTimeout duration `json:"connectTimeout"`
	ConnectRetry   duration `json:"connectRetry"`
	IdleTimeout    duration `json:"idleTimeout"`
	MaxConns       int      `json:"maxConns"`

	ProxyProtocolIn  bool `json:"proxyProtocolIn"`
	ProxyProtocolOut *int `json:"proxyProtocolOut"` // the version
	Transparent      bool `json:"transparent"`
}

// proxyBackend is one place that connections go to.
type proxyBackend struct {
	Address  backendAddress `json:"address"`
	Netns    string         `json:"netns"`
	Weight   *int           `json:"weight"`
	MaxConns int            `json:"maxConns"`
}

// readProxyConfig reads the file of --config and checks it.
func readProxyConfig(file string) (*proxyConfig, error) {
	data, err := readLimited(file)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	return parseProxyConfig(file, data)
}

// readLimited reads a file, but not much more than what strict takes.
func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
}

func parseProxyConfig(file string, data []byte) (*proxyConfig, error) {
	d, err := strict.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if d.Root.Kind != strict.Object {
		return nil, d.Errorf("", "expected the field services, with a list")
	}
	c := &proxyConfig{file: file, document: d}
	if err := d.Decode(c); err != nil {
		return nil, err
	}
	return c, c.check()
}

// errorf is an error at a field of the file, or about the option that has it.
func (c *proxyConfig) errorf(field, format string, args ...any) *strict.Error {
	if c.document == nil {
		name, _, _ := strings.Cut(strings.TrimPrefix(field, "services[0]."), "[")
		if strings.HasSuffix(field, ".netns") {
			name = "netns"
		}
		field = "proxy: --" + optionOf(name)
	}
	return c.document.Errorf(field, format, args...)
}

// optionOf is the option for a field: idle-timeout for idleTimeout.
func optionOf(field string) string {
	if field == "backends" {
		return "backend"
	}
	var b strings.Builder
	for _, r := range field {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// check looks at what concerns more than one value, and names the services.
func (c *proxyConfig) check() error {
	errs := new(strict.Errors)
	fail := func(field, format string, args ...any) { errs.Add(c.errorf(field, format, args...)) }
	if len(c.Services) == 0 {
		fail("services", "there is none: give at least one")
	}
	names, listens := map[string]int{}, map[listenAddress]bool{}
	for i := range c.Services {
		s, at := &c.Services[i], fmt.Sprintf("services[%d]", i)
		switch {
		case len(s.Listen) == 0:
			fail(at+".listen", "there is no address: give at least one")
			continue
		case s.Name == "":
			s.Name = string(s.Listen[0])
		}
		if first, ok := names[s.Name]; ok {
			fail(at+".name", "%q is that of services[%d] too", s.Name, first)
		}
		names[s.Name] = i
		for j, a := range s.Listen {
			field := fmt.Sprintf("%s.listen[%d]", at, j)
			if listens[a] && !a.any() {
				fail(field, "%s is given twice", a)
			}
			listens[a] = true
		}
		c.checkBackends(s, at, fail)
	}
	return errs.Err()
}

func (c *proxyConfig) checkBackends(s *proxyService, at string, fail func(field, format string, args ...any)) {
	if len(s.Backends) == 0 {
		fail(at+".backends", "there is none: give at least one")
	}
	if s.MaxConns < 0 {
		fail(at+".maxConns", "%d is negative", s.MaxConns)
	}
	if v := s.ProxyProtocolOut; v != nil && *v != 1 && *v != 2 {
		fail(at+".proxyProtocolOut", "%d is no version of the PROXY protocol: there are 1 and 2", *v)
	}
	if s.Queue < 0 {
		fail(at+".queue", "%d is negative", s.Queue)
	}
	checkUDP(s, at, fail)
	checkHealth(s, at, fail)
	seen := map[string]bool{}
	for i := range s.Backends {
		b, at := &s.Backends[i], fmt.Sprintf("%s.backends[%d]", at, i)
		if b.Netns == "" {
			b.Netns = s.Netns
		}
		switch {
		case b.Address == "":
			fail(at+".address", "it is missing: give IP:PORT")
		case seen[b.id()]:
			fail(at+".address", "%s is given twice", b.id())
		}
		seen[b.id()] = true
		if b.Weight != nil && (*b.Weight < 1 || *b.Weight > maxWeight) {
			fail(at+".weight", "%d is not a number from 1 to %d", *b.Weight, maxWeight)
		}
		if b.MaxConns < 0 {
			fail(at+".maxConns", "%d is negative", b.MaxConns)
		}
	}
}

// checkHealth looks at what decides whether a backend is used.
func checkHealth(s *proxyService, at string, fail func(field, format string, args ...any)) {
	if v := s.EjectAfter; v != nil && *v < 0 {
		fail(at+".ejectAfter", "%d is negative: give a number of failures, or 0 for never", *v)
	}
	if o := s.fixed().pool; o.MaxEjectTime > 0 && o.EjectTime > o.MaxEjectTime {
		fail(at+".maxEjectTime", "%v is less than ejectTime, %v", o.MaxEjectTime, o.EjectTime)
	}
	for _, c := range []struct {
		field string
		value *int
	}{{"rise", s.Rise}, {"fall", s.Fall}} {
		if c.value != nil && *c.value < 1 {
			fail(at+"."+c.field, "%d is not a number of checks from 1 on", *c.value)
		}
	}
	if s.Check != "" {
		if i, t := time.Duration(s.CheckInterval), time.Duration(s.CheckTimeout); t > 0 && i > 0 && t > i {
			fail(at+".checkTimeout", "%v is more than checkInterval, %v", t, i)
		}
		return
	}
	for _, c := range []struct {
		field string
		given bool
	}{{"checkInterval", s.CheckInterval > 0}, {"checkTimeout", s.CheckTimeout > 0}, {"rise", s.Rise != nil}, {"fall", s.Fall != nil}} {
		if c.given {
			fail(at+"."+c.field, "it is of checks, and there are none: give check tcp")
		}
	}
}

// maxWeight is package proxy's.
const maxWeight = 1<<16 - 1

// id names the backend in its service.
func (b *proxyBackend) id() string {
	if b.Netns == "" {
		return string(b.Address)
	}
	return string(b.Address) + " inside " + b.Netns
}
