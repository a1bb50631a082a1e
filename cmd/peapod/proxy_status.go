package main

import (
	"fmt"
	"io"

	"github.com/peapod/peapod/internal/strict"
)

// proxyStatus is what /status shows.
type proxyStatus struct {
	Connections connectionStatus `json:"connections"`
	Bytes       byteStatus       `json:"bytes"`
	Services    []serviceStatus  `json:"services"`
}

type connectionStatus struct {
	Accepted uint64 `json:"accepted"`
	Active   int64  `json:"active"`
	Failed   uint64 `json:"failed"`
}

// byteStatus is of connections that have ended.
type byteStatus struct {
	In  int64 `json:"in"`  // from clients
	Out int64 `json:"out"` // to clients
}

type serviceStatus struct {
	Name   string   `json:"name"`
	Listen []string `json:"listen"`
}

func (s *proxyServer) status() *proxyStatus {
	stats := s.proxy.Stats()
	status := &proxyStatus{
		Connections: connectionStatus{stats.Accepted, stats.Active, stats.Failed},
		Bytes:       byteStatus{stats.In, stats.Out},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.services {
		one := serviceStatus{Name: service.name}
		for _, f := range service.fronts {
			one.Listen = append(one.Listen, f.front.Addr().String())
		}
		status.Services = append(status.Services, one)
	}
	return status
}

func (s *proxyStatus) json(w io.Writer) {
	b, err := strict.Append(nil, s)
	if err != nil {
		panic(err) // no type of it is unknown there
	}
	w.Write(append(b, '\n'))
}

func (s *proxyStatus) prometheus(w io.Writer) {
	c := s.Connections
	metric(w, "connections_total", "counter", "Connections that were accepted.", c.Accepted)
	metric(w, "connections_failed_total", "counter", "Connections that ended with an error.", c.Failed)
	metric(w, "connections_active", "gauge", "Connections that are open.", c.Active)
	metric(w, "received_bytes_total", "counter", "Bytes from clients, of connections that have ended.", s.Bytes.In)
	metric(w, "sent_bytes_total", "counter", "Bytes to clients, of connections that have ended.", s.Bytes.Out)
}

func metric(w io.Writer, name, kind, help string, value any) {
	fmt.Fprintf(w, "# HELP peapod_proxy_%s %s\n# TYPE peapod_proxy_%[1]s %[3]s\npeapod_proxy_%[1]s %[4]v\n", name, help, kind, value)
}
