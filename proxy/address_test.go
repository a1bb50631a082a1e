package proxy

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ listen, backend, want string }{
		{"127.0.0.1:8080", "127.0.0.1:80", ""},
		{":8080", "localhost:80", ""},
		{"[::]:0", "[::1]:65535", ""},
		{"[fe80::1%eth0]:1", "my_db.example.org.:5432", ""},
		{"0.0.0.0:65535", "1password.com:443", ""},

		{"", "a:1", `listen: invalid address "": missing port in address; want host:port`},
		{"8080", "a:1", `listen: invalid address "8080": missing port`},
		{"127.0.0.1:65536", "a:1", `listen: invalid address "127.0.0.1:65536": port "65536" is not a number from 0 to 65535`},
		{"127.0.0.1:-1", "a:1", `port "-1"`},
		{"127.0.0.1:+1", "a:1", `port "+1"`},
		{"127.0.0.1:080", "a:1", `port "080"`},
		{"127.0.0.1:", "a:1", `port ""`},
		{"127.0.0.1:http", "a:1", `port "http"`},
		{"::1:80", "a:1", "too many colons"},
		{"[::1:80", "a:1", "missing ']'"},
		{"[::1::]:80", "a:1", "not an IPv6 address"},
		{"localhost:80", "a:1", `listen: invalid address "localhost:80": "localhost" is not an IP address`},
		{"256.0.0.1:80", "a:1", "not an IP address"},

		{":0", "", `backend: invalid address ""`},
		{":0", ":80", "backend: invalid address \":80\": the host is missing"},
		{":0", "127.0.0.1:0", "backend: invalid address \"127.0.0.1:0\": port 0"},
		{":0", "127.0.0.256:80", "neither an IP address nor a host name"},
		{":0", "a b:80", "neither"},
		{":0", "-a:80", "neither"},
		{":0", "a..b:80", "neither"},
		{":0", strings.Repeat("a", 64) + ":80", "neither"},
		{":0", "a:99999", "port \"99999\""},
	} {
		err := (&Proxy{}).validate(c.listen, Backend(c.backend))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q -> %q: %v", c.listen, c.backend, err)
		case c.want != "" && (!errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q -> %q: %v, want %s", c.listen, c.backend, err, c.want)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for field, p := range map[string]*Proxy{
		"DialTimeout": {DialTimeout: -1},
		"DialRetry":   {DialRetry: -time.Second},
		"IdleTimeout": {IdleTimeout: -1},
		"MaxConns":    {MaxConns: -1},
	} {
		f, err := p.Forward(t.Context(), "127.0.0.1:0", Backend("127.0.0.1:1"))
		if f != nil || err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := new(Proxy).Forward(t.Context(), "127.0.0.1:0", nil); !errors.Is(err, ErrAddress) {
		t.Errorf("no backends: %v", err)
	}
	if err := new(Proxy).Close(); err != nil {
		t.Errorf("closing an unused proxy: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	p := &Proxy{}
	f := forward(t, p, "127.0.0.1:1")
	_, err := p.Forward(t.Context(), f.Addr().String(), Backend("127.0.0.1:1"))
	if err == nil || !strings.HasPrefix(err.Error(), "listen on "+f.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", ":80", "[::1]:0", "a:1", "[fe80::1%25eth0]:1", "a_b.c.:65535", "::1:80", "[]:1", "x:٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := splitAddress("listen", s)
		if err != nil {
			if !errors.Is(err, ErrAddress) || !strings.HasPrefix(err.Error(), "listen: ") {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		// What is accepted means the same to package net.
		h, p, err := net.SplitHostPort(s)
		if err != nil || h != host {
			t.Errorf("%q: host %q, package net says %q, %v", s, host, h, err)
		}
		if n, err := net.LookupPort("tcp", p); err != nil || n != int(port) {
			t.Errorf("%q: port %d, package net says %d, %v", s, port, n, err)
		}
		if Backend(s).Validate() == nil && (host == "" || port == 0 || strings.ContainsAny(host, " /\x00")) {
			t.Errorf("%q is taken as a backend", s)
		}
	})
}
