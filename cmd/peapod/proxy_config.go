package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/internal/strict"
)

// proxyConfig is what the file of --config has, or what the options say.
type proxyConfig struct {
	Services       []proxyService `json:"services"`
	Metrics        metricsAddress `json:"metrics"`
	ConnectTimeout duration       `json:"connectTimeout"`
	IdleTimeout    duration       `json:"idleTimeout"`
	GracePeriod    *duration      `json:"gracePeriod"`
	MaxConns       int            `json:"maxConns"`

	file     string           // "" for options
	document *strict.Document // nil for options
}

// proxyService is a set of addresses whose connections go to the same place.
type proxyService struct {
	Name     string          `json:"name"` // by default the first address
	Listen   []listenAddress `json:"listen"`
	Netns    string          `json:"netns"`
	Backends []proxyBackend  `json:"backends"`
}

// proxyBackend is one place that connections go to.
type proxyBackend struct {
	Address backendAddress `json:"address"`
}

type (
	// duration is written as "1m30s".
	duration time.Duration
	// listenAddress is IP:PORT or :PORT.
	listenAddress string
	// backendAddress is IP:PORT.
	backendAddress string
	// metricsAddress is IP:PORT, :PORT, unix:PATH, or "" for none.
	metricsAddress string
)

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
	config := &proxyConfig{Services: make([]proxyService, 1), MaxConns: c.Int("max-conns")}
	service := &config.Services[0]
	service.Netns = c.String("netns")
	var err error
	parse := func(name string, into interface{ parse(string) error }, text string) {
		if e := into.parse(text); e != nil && err == nil {
			err = fmt.Errorf("proxy: --%s: %w", name, e)
		}
	}
	for _, s := range c.Strings("listen") {
		var a listenAddress
		parse("listen", &a, s)
		service.Listen = append(service.Listen, a)
	}
	for _, s := range c.Strings("backend") {
		var b proxyBackend
		parse("backend", &b.Address, s)
		service.Backends = append(service.Backends, b)
	}
	if c.IsSet("metrics") {
		parse("metrics", &config.Metrics, c.String("metrics"))
	}
	for name, d := range map[string]*duration{"connect-timeout": &config.ConnectTimeout, "idle-timeout": &config.IdleTimeout} {
		if c.IsSet(name) {
			parse(name, d, c.String(name))
		}
	}
	if c.IsSet("grace-period") {
		config.GracePeriod = new(duration)
		parse("grace-period", config.GracePeriod, c.String("grace-period"))
	}
	switch {
	case err != nil:
		return nil, err
	case len(service.Listen) == 0:
		return nil, errors.New("proxy: --listen is missing: give --listen ADDR and --backend ADDR, or --config FILE")
	case len(service.Backends) == 0:
		return nil, errors.New("proxy: --backend is missing: give an address, such as --backend 127.0.0.1:80")
	}
	return config, config.check()
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
	if c.MaxConns < 0 {
		fail("maxConns", "%d is negative", c.MaxConns)
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
	switch len(s.Backends) {
	case 0:
		fail(at+".backends", "there is none: give at least one")
	case 1:
		if s.Backends[0].Address == "" {
			fail(at+".backends[0].address", "it is missing: give IP:PORT")
		}
	default:
		fail(at+".backends", "not supported yet: more than one")
	}
}

// textual decodes values that are strings with a form.
func textual(n *strict.Node, into interface{ parse(string) error }) error {
	if n.Kind != strict.String {
		return fmt.Errorf("found %s, expected a string", n.Kind)
	}
	return into.parse(n.Text)
}

// UnmarshalNode implements strict.Unmarshaler.
func (d *duration) UnmarshalNode(n *strict.Node) error { return textual(n, d) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *listenAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *backendAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

// UnmarshalNode implements strict.Unmarshaler.
func (a *metricsAddress) UnmarshalNode(n *strict.Node) error { return textual(n, a) }

func (d *duration) parse(s string) error {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration: write it as 1m30s or 500ms", s)
	case v < 0:
		return fmt.Errorf("%s is negative", s)
	}
	*d = duration(v)
	return nil
}

func (a *listenAddress) parse(s string) error {
	if err := checkAddress(s, true); err != nil {
		return err
	}
	*a = listenAddress(s)
	return nil
}

// any reports whether the kernel is to choose the port.
func (a listenAddress) any() bool { return strings.HasSuffix(string(a), ":0") }

func (a *backendAddress) parse(s string) error {
	if err := checkAddress(s, false); err != nil {
		return err
	}
	*a = backendAddress(s)
	return nil
}

func (a *metricsAddress) parse(s string) error {
	path, ok := strings.CutPrefix(s, "unix:")
	switch {
	case ok && path == "":
		return errors.New("the path behind unix: is missing")
	case !ok && s != "":
		if err := checkAddress(s, true); err != nil {
			return err
		}
	}
	*a = metricsAddress(s)
	return nil
}

// checkAddress wants IP:PORT; to listen, all addresses, :PORT, and any port, 0,
// are possible too.
func checkAddress(s string, listen bool) error {
	example := "10.0.0.2:80 or [::1]:80"
	if listen {
		example = "127.0.0.1:80, [::1]:80 or :80"
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address: write it as %s", s, example)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != digits {
		return fmt.Errorf("%q: the port %q is not a number up to 65535", s, digits)
	}
	if port == 0 && !listen {
		return fmt.Errorf("%q: port 0 cannot be connected to", s)
	}
	if host == "" && listen {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return fmt.Errorf("%q: %q is not an IP address: write it as %s", s, host, example)
	case ip.IsUnspecified() && !listen:
		return fmt.Errorf("%q: %s is no address to connect to", s, host)
	}
	return nil
}
