package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/peapod/peapod/proxy"
)

// prometheus writes the status in Prometheus' text format, 0.0.4.
func (s *proxyStatus) prometheus(w io.Writer) {
	p := &prometheus{w, metricPrefix}
	each := func(name, kind, help string, value func(*serviceStatus) any) {
		p.head(name, kind, help)
		for i := range s.Services {
			p.sample(name, "service="+label(s.Services[i].Name), value(&s.Services[i]))
		}
	}
	each("connections_total", "counter", "Connections that were accepted.", func(s *serviceStatus) any { return s.Connections.Accepted })
	each("connections_failed_total", "counter", "Connections that ended with an error.", func(s *serviceStatus) any { return s.Connections.Failed })
	each("connections_active", "gauge", "Connections that are open.", func(s *serviceStatus) any { return s.Connections.Active })
	each("received_bytes_total", "counter", "Bytes from clients, of connections that have ended.", func(s *serviceStatus) any { return s.Bytes.In })
	each("sent_bytes_total", "counter", "Bytes to clients, of connections that have ended.", func(s *serviceStatus) any { return s.Bytes.Out })
	each("waiting", "gauge", "Clients that wait for a backend.", func(s *serviceStatus) any { return s.Waiting })
	datagrams := func(name, kind, help string, value func(*udpStatus) any) {
		p.head(name, kind, help)
		for i := range s.Services {
			if u := s.Services[i].UDP; u != nil {
				p.sample(name, "service="+label(s.Services[i].Name), value(u))
			}
		}
	}
	datagrams("udp_flows_total", "counter", "Flows of UDP that began.", func(u *udpStatus) any { return u.Flows.Begun })
	datagrams("udp_flows_active", "gauge", "Flows that there are.", func(u *udpStatus) any { return u.Flows.Active })
	datagrams("udp_flows_idle_total", "counter", "Flows that ended because nothing moved.", func(u *udpStatus) any { return u.Flows.Idle })
	datagrams("udp_flows_evicted_total", "counter", "Flows that ended to make room.", func(u *udpStatus) any { return u.Flows.Evicted })
	datagrams("udp_flows_failed_total", "counter", "Flows that ended because no backend could be reached.", func(u *udpStatus) any { return u.Flows.Failed })
	datagrams("udp_received_datagrams_total", "counter", "Datagrams from clients.", func(u *udpStatus) any { return u.Datagrams.In })
	datagrams("udp_sent_datagrams_total", "counter", "Datagrams to clients.", func(u *udpStatus) any { return u.Datagrams.Out })
	datagrams("udp_dropped_datagrams_total", "counter", "Datagrams that were received and not sent.", func(u *udpStatus) any { return u.Datagrams.Dropped })
	datagrams("udp_received_bytes_total", "counter", "Bytes from clients by UDP.", func(u *udpStatus) any { return u.Bytes.In })
	datagrams("udp_sent_bytes_total", "counter", "Bytes to clients by UDP.", func(u *udpStatus) any { return u.Bytes.Out })
	p.head("turned_away_total", "counter", "Clients that got no backend.")
	for i := range s.Services {
		p.turnedAway("service="+label(s.Services[i].Name), s.Services[i].TurnedAway)
	}
	s.backends(p)
}

// backends writes what is known of each, as samples with the labels service and
// backend.
func (s *proxyStatus) backends(p *prometheus) {
	each := func(name, kind, help string, value func(*backendStatus) any) {
		p.head(name, kind, help)
		s.eachBackend(func(labels string, b *backendStatus) { p.sample(name, labels, value(b)) })
	}
	each("backend_connections_total", "counter", "Times that the backend was chosen.", func(b *backendStatus) any { return b.Chosen })
	each("backend_connections_failed_total", "counter", "Of these, connections that could not be made.", func(b *backendStatus) any { return b.Failed })
	each("backend_connections_active", "gauge", "Connections that are open, or being made.", func(b *backendStatus) any { return b.Active })
	each("backend_sent_bytes_total", "counter", "Bytes to the backend, of connections that have ended.", func(b *backendStatus) any { return b.Bytes.In })
	each("backend_received_bytes_total", "counter", "Bytes from the backend, of connections that have ended.", func(b *backendStatus) any { return b.Bytes.Out })

	p.head("backend_state", "gauge", "1 for the state that the backend is in.")
	s.eachBackend(func(labels string, b *backendStatus) {
		for _, state := range []proxy.EndpointState{proxy.EndpointReady, proxy.EndpointAside, proxy.EndpointDraining, proxy.EndpointDown} {
			is := 0
			if b.State == state.String() {
				is = 1
			}
			p.sample("backend_state", labels+",state="+label(state.String()), is)
		}
	})
	checks := func(name, help string, value func(*checkStatus) uint64) {
		p.head(name, "counter", help)
		s.eachBackend(func(labels string, b *backendStatus) {
			if b.Check != nil {
				p.sample(name, labels, value(b.Check))
			}
		})
	}
	checks("backend_checks_total", "Checks that were made.", func(c *checkStatus) uint64 { return c.Made })
	checks("backend_checks_failed_total", "Of these, failed ones.", func(c *checkStatus) uint64 { return c.Failed })
	p.head("backend_connect_seconds", "histogram", "How long it took to connect.")
	s.eachBackend(func(labels string, b *backendStatus) {
		if b.latency != nil {
			b.latency.WritePrometheus(p, metricPrefix+"backend_connect_seconds", labels)
		}
	})
}

func (s *proxyStatus) eachBackend(f func(labels string, b *backendStatus)) {
	for i := range s.Services {
		service := &s.Services[i]
		for j := range service.Backends {
			b := &service.Backends[j]
			f("service="+label(service.Name)+",backend="+label(b.Address), b)
		}
	}
}

const metricPrefix = "peapod_proxy_"

// prometheus writes samples.
type prometheus struct {
	io.Writer
	prefix string // of all names
}

func (p *prometheus) head(name, kind, help string) {
	fmt.Fprintf(p, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", p.prefix, name, help, kind)
}

func (p *prometheus) sample(name, labels string, value any) {
	fmt.Fprintf(p, "%s%s{%s} %v\n", p.prefix, name, labels, value)
}

// turnedAway writes a sample for each reason.
func (p *prometheus) turnedAway(labels string, t proxy.TurnedAway) {
	for _, why := range []struct {
		reason string
		n      uint64
	}{{"no endpoint", t.NoEndpoint}, {"full", t.Full}, {"queued", t.Queued}, {"unreachable", t.Unreachable}} {
		p.sample("turned_away_total", labels+",reason="+label(why.reason), why.n)
	}
}

// label quotes the value of a label.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
