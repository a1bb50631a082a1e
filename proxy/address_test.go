package proxy

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"127.0.0.1:8080", ""},
		{":8080", ""},
		{"[::]:0", ""},
		{"[fe80::1%eth0]:1", ""},
		{"0.0.0.0:65535", ""},

		{"", `listen: invalid address "": missing port in address; want host:port`},
		{"8080", `listen: invalid address "8080": missing port`},
		{"127.0.0.1:65536", `listen: invalid address "127.0.0.1:65536": port "65536" is not a number from 0 to 65535`},
		{"127.0.0.1:-1", `port "-1"`},
		{"127.0.0.1:+1", `port "+1"`},
		{"127.0.0.1:080", `port "080"`},
		{"127.0.0.1:", `port ""`},
		{"127.0.0.1:http", `port "http"`},
		{"::1:80", "too many colons"},
		{"[::1:80", "missing ']'"},
		{"[::1::]:80", "not an IPv6 address"},
		{"localhost:80", `listen: invalid address "localhost:80": "localhost" is not an IP address`},
		{"256.0.0.1:80", "not an IP address"},
	} {
		err := validateListen(c.addr)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.addr, err)
		case c.want != "" && (!errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %s", c.addr, err, c.want)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for field, p := range map[string]*Proxy{
		"DialTimeout": {DialTimeout: -1},
		"DialRetry":   {DialRetry: -time.Second},
		"IdleTimeout": {IdleTimeout: -1},
		"MaxConns":    {MaxConns: -1},
		"Loops":       {Loops: -1},
	} {
		f, err := p.Forward(t.Context(), "127.0.0.1:0", to("127.0.0.1:1"))
		if f != nil || err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := new(Proxy).Forward(t.Context(), "127.0.0.1:0", nil); err == nil {
		t.Error("no pool is taken")
	}
	if _, err := new(Proxy).Forward(t.Context(), "127.0.0.1:0", NewPool(PoolOptions{Queue: -1})); err == nil || !strings.Contains(err.Error(), "Queue") {
		t.Errorf("pool's options: %v", err)
	}
	if _, err := new(Proxy).Forward(t.Context(), "localhost:0", to("127.0.0.1:1")); !errors.Is(err, ErrAddress) {
		t.Errorf("name to listen on: %v", err)
	}
	if err := new(Proxy).Close(); err != nil {
		t.Errorf("closing an unused proxy: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	p := &Proxy{}
	f := forward(t, p, "127.0.0.1:1")
	_, err := p.Forward(t.Context(), f.Addr().String(), to("127.0.0.1:1"))
	if err == nil || !strings.HasPrefix(err.Error(), "listen on "+f.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", ":80", "[::1]:0", "a:1", "[fe80::1%25eth0]:1", "a_b.c.:65535", "::1:80", "[]:1", "x:٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := splitAddress(s)
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
	})
}
