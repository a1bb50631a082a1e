package main

import (
	"errors"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/strict"
	"github.com/peapod/peapod/proxy"
)

func TestProxyConfig(t *testing.T) {
	const yaml = `
services:
- name: web
  listen: [":80", "[::1]:8080"]
  netns: /run/netns/web
  backends: [{address: "127.0.0.1:80"}, {address: "127.0.0.1:80", netns: /run/netns/b, weight: 3, maxConns: 9}]
  balance: source-hash
  affinity: 1h
  slowStart: 2s
  queue: 5
  queueTimeout: 3s
  drainTimeout: 4s
  connectTimeout: 1m30s
  connectRetry: 6s
  idleTimeout: 500ms
  proxyProtocolIn: true
  proxyProtocolOut: 2
  maxConns: 7
  ejectAfter: 0
  ejectTime: 1s
  maxEjectTime: 8s
  check: tcp
  checkInterval: 9s
  checkTimeout: 4s
  rise: 5
  fall: 6
  transparent: true
- listen: ["127.0.0.1:0"]
  backends: [{address: "[fe80::1%eth0]:80"}]
metrics: unix:/run/metrics
gracePeriod: 0s
`
	c, err := parseProxyConfig("f", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	web := c.Services[0]
	want := fixedSettings{
		pool: proxy.PoolOptions{Policy: proxy.SourceHash, Affinity: time.Hour, SlowStart: 2 * time.Second, Queue: 5,
			QueueTimeout: 3 * time.Second, DrainTimeout: 4 * time.Second,
			EjectAfter: -1, EjectTime: time.Second, MaxEjectTime: 8 * time.Second},
		check: "tcp", interval: duration(9 * time.Second), checkTimeout: duration(4 * time.Second), rise: 5, fall: 6,
		connectTimeout: duration(90 * time.Second), connectRetry: duration(6 * time.Second), idleTimeout: duration(500 * time.Millisecond), maxConns: 7, proxyProtocolIn: true,
	}
	if got := web.fixed(); got != want {
		t.Errorf("options %+v, want %+v", got, want)
	}
	if v := web.ProxyProtocolOut; v == nil || *v != 2 {
		t.Errorf("proxyProtocolOut %v", v)
	}
	if b := web.Backends; b[0].id() != "127.0.0.1:80 inside /run/netns/web" || b[0].Weight != nil ||
		b[1].id() != "127.0.0.1:80 inside /run/netns/b" || *b[1].Weight != 3 || b[1].MaxConns != 9 {
		t.Errorf("backends %+v", b)
	}
	if len(c.Services) != 2 || c.Services[0].Name != "web" || c.Services[0].Listen[1] != "[::1]:8080" || c.Services[0].Netns != "/run/netns/web" ||
		c.Services[0].Backends[0].Address != "127.0.0.1:80" || c.Services[1].Name != "127.0.0.1:0" ||
		c.Metrics != "unix:/run/metrics" ||
		c.GracePeriod == nil || *c.GracePeriod != 0 {
		t.Errorf("%+v", c)
	}
}

func TestProxyConfigMistakes(t *testing.T) {
	const good = "services:\n- name: a\n  listen: [':1']\n  backends: [{address: '1.2.3.4:1'}]\n"
	for text, want := range map[string]string{
		"[]":             "f:1:1: expected the field services, with a list",
		"{}":             "f:1:1: services: there is none: give at least one",
		"services: [{}]": "f:1:12: services[0].listen: there is no address: give at least one",
		"services: [{listen: ['1'], backends: [{}]}]":                                                `f:1:22: services[0].listen[0]: "1" is no address: write it as 127.0.0.1:80, [::1]:80 or :80`,
		"services: [{listen: [':1']}]":                                                               "f:1:12: services[0].backends: there is none: give at least one",
		"services: [{listen: [':1'], backends: [{}]}]":                                               "f:1:40: services[0].backends[0].address: it is missing: give IP:PORT",
		good + "- {name: a, listen: [':2'], backends: [{address: '1.2.3.4:1'}]}":                     `f:5:10: services[1].name: "a" is that of services[0] too`,
		good + "- {name: b, listen: [':1'], backends: [{address: '1.2.3.4:1'}]}":                     "f:5:22: services[1].listen[0]: :1 is given twice",
		"services: [{listen: [':1'], backends: [{address: '1.2.3.4:1'}, {address: '1.2.3.4:1'}]}]":   "f:1:74: services[0].backends[1].address: 1.2.3.4:1 is given twice",
		"services: [{listen: [':1'], backends: [{address: '1.2.3.4:1', weight: 0}]}]":                "f:1:71: services[0].backends[0].weight: 0 is not a number from 1 to 65535",
		"services: [{listen: [':1'], backends: [{address: '1.2.3.4:1', maxConns: -1}]}]":             "f:1:73: services[0].backends[0].maxConns: -1 is negative",
		"services: [{listen: [':1'], queue: -1, balance: fair, backends: [{address: '1.2.3.4:1'}]}]": `f:1:49: services[0].balance: "fair" is not known: there are random, round-robin, source-hash`,
		good + "  proxyProtocolOut: 3":                                                               "f:5:21: services[0].proxyProtocolOut: 3 is no version of the PROXY protocol: there are 1 and 2",
		good + "  queue: -1":                                                                         "f:5:10: services[0].queue: -1 is negative",
		good + "  ejectAfter: -1":                                                                    "f:5:15: services[0].ejectAfter: -1 is negative: give a number of failures, or 0 for never",
		good + "  ejectTime: 2s\n  maxEjectTime: 1s":                                                 "f:6:17: services[0].maxEjectTime: 1s is less than ejectTime, 2s",
		good + "  check: http":                                                                       `f:5:10: services[0].check: "http" is not known: there is tcp`,
		good + "  check: tcp\n  rise: 0":                                                             "f:6:9: services[0].rise: 0 is not a number of checks from 1 on",
		good + "  check: tcp\n  checkInterval: 1s\n  checkTimeout: 2s":                               "f:7:17: services[0].checkTimeout: 2s is more than checkInterval, 1s",
		good + "  fall: 3":         "f:5:9: services[0].fall: it is of checks, and there are none: give check tcp",
		good + "gracePeriod: 3":    "f:5:14: gracePeriod: found a number, expected a string",
		good + "gracePeriod: soon": `f:5:14: gracePeriod: "soon" is no duration: write it as 1m30s or 500ms`,
		"services: [{listen: ['udp://:1'], backends: [{address: '1.2.3.4:1'}], transparent: true}]": "f:1:84: services[0].transparent: there is no such thing for UDP: leave it out, or the listeners behind udp://",
		good + "  maxConns: -1": "f:5:13: services[0].maxConns: -1 is negative",
		good + "metrics: here":  `f:5:10: metrics: "here" is no address: write it as 127.0.0.1:80, [::1]:80 or :80`,
	} {
		if _, err := parseProxyConfig("f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// FuzzProxyConfig looks for panics, and for errors without a place in the file.
func FuzzProxyConfig(f *testing.F) {
	f.Add("services: [{name: a, listen: [':1'], backends: [{address: '1.2.3.4:1'}]}]\nmetrics: unix:x\ngracePeriod: 1s\n")
	f.Add(`{"services": [{"listen": ["[::1%x]:0"]}], "maxConns": -1}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseProxyConfig("f", []byte(text))
		if err == nil {
			for _, s := range c.Services {
				if len(s.Listen) == 0 || len(s.Backends) == 0 || s.Name == "" {
					t.Fatalf("accepted: %+v", s)
				}
			}
			return
		}
		var errs *strict.Errors
		var one *strict.Error
		if !errors.As(err, &errs) && !errors.As(err, &one) {
			t.Fatalf("%#v", err)
		}
	})
}
