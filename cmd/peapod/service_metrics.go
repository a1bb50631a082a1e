package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/proxy"
)

func (p *peapod) serviceMetricsCommand() *cli.Command {
	return &cli.Command{
		Name:      "metrics",
		Usage:     "print what goes to services for Prometheus",
		ArgsUsage: "[SERVICE...]",
		Description: `The counters are those of single processes, by the label process: they never
fall. sum without (process) (...) adds them up. In the directory of the
node_exporter's textfile collector:

Example: peapod service metrics >web.prom.tmp && mv web.prom.tmp web.prom`,
		Action: p.serviceMetrics,
	}
}

func (p *peapod) serviceMetrics(c *cli.Context) error {
	services, err := p.findServices(c.Args())
	if err != nil {
		return err
	}
	pods, err := p.store().List()
	if err != nil {
		return err
	}
	list, missing := p.store().Traffic(c.Context, c.Args()...)
	if missing != nil {
		fmt.Fprintln(p.stderr, "peapod: "+missing.Error())
	}
	var b bytes.Buffer
	writeServiceMetrics(&b, services, pods, list)
	_, err = p.stdout.Write(b.Bytes())
	return err
}

const servicePrefix = "peapod_service_"

// writeServiceMetrics writes what is known of services in Prometheus' text
// format, 0.0.4.
func writeServiceMetrics(w io.Writer, services []*pod.ServiceRecord, pods []*pod.Record, list []pod.ProcessTraffic) {
	p := &prometheus{w, servicePrefix}
	p.head("info", "gauge", "1 for each service.")
	for _, r := range services {
		spec := &r.Service.Spec
		p.sample("info", fmt.Sprintf("service=%s,type=%s,cluster_ip=%s", label(r.Service.Metadata.Name), label(string(spec.Type)), label(spec.ClusterIP)), 1)
	}
	p.head("endpoints", "gauge", "Endpoints by their readiness.")
	for _, r := range services {
		states := map[pod.EndpointState]int{}
		for _, e := range r.Leads(pods) {
			states[e.State]++
		}
		for _, state := range []pod.EndpointState{pod.EndpointReady, pod.EndpointNotReady, pod.EndpointEnding} {
			p.sample("endpoints", fmt.Sprintf("service=%s,state=%s", label(r.Service.Metadata.Name), label(string(state))), states[state])
		}
	}
	p.head("waiting", "gauge", "Clients that wait for an endpoint.")
	for _, process := range list {
		for i := range process.Ports {
			p.sample("waiting", portLabels(&process.Ports[i], process.PID), process.Ports[i].Waiting)
		}
	}
	p.head("turned_away_total", "counter", "Clients that got no endpoint.")
	for _, process := range list {
		for i := range process.Ports {
			p.turnedAway(portLabels(&process.Ports[i], process.PID), process.Ports[i].TurnedAway)
		}
	}
	p.endpoints(list)
}

func portLabels(t *pod.PortTraffic, pid int) string {
	return fmt.Sprintf(`service=%s,port="%d",protocol=%s,process="%d"`, label(t.Service), t.Port, label(t.Protocol), pid)
}

// endpoints writes the counters of each, as samples with the labels of its port
// and those that tell endpoints apart.
func (p *prometheus) endpoints(list []pod.ProcessTraffic) {
	all := func(f func(labels string, e *pod.EndpointTraffic)) {
		for _, process := range list {
			for i := range process.Ports {
				for j := range process.Ports[i].Endpoints {
					e := &process.Ports[i].Endpoints[j]
					f(portLabels(&process.Ports[i], process.PID)+",endpoint="+label(e.Name)+",id="+label(e.ID)+",address="+label(e.Address), e)
				}
			}
		}
	}
	each := func(name, kind, help string, value func(*pod.EndpointTraffic) string) {
		p.head(name, kind, help)
		all(func(labels string, e *pod.EndpointTraffic) { p.sample(name, labels, value(e)) })
	}
	unsigned := func(n uint64) string { return strconv.FormatUint(n, 10) }
	signed := func(n int64) string { return strconv.FormatInt(n, 10) }
	each("endpoint_connections_total", "counter", "Times that the endpoint was chosen.", func(e *pod.EndpointTraffic) string { return unsigned(e.Total) })
	each("endpoint_connections_failed_total", "counter", "Of these, connections that could not be made.", func(e *pod.EndpointTraffic) string { return unsigned(e.Failed) })
	each("endpoint_connections_active", "gauge", "Connections that are open, or being made.", func(e *pod.EndpointTraffic) string { return signed(int64(e.Active)) })
	each("endpoint_sent_bytes_total", "counter", "Bytes to the endpoint.", func(e *pod.EndpointTraffic) string { return signed(e.In) })
	each("endpoint_received_bytes_total", "counter", "Bytes from the endpoint.", func(e *pod.EndpointTraffic) string { return signed(e.Out) })
	p.head("endpoint_state", "gauge", "1 for the state in which the process sees the endpoint.")
	all(func(labels string, e *pod.EndpointTraffic) {
		for _, state := range []proxy.EndpointState{proxy.EndpointReady, proxy.EndpointAside, proxy.EndpointDraining} {
			p.sample("endpoint_state", labels+",state="+label(state.String()), e.States[state.String()])
		}
	})
	p.head("endpoint_connect_seconds", "histogram", "How long it took to connect.")
	all(func(labels string, e *pod.EndpointTraffic) {
		if e.Connect != nil {
			e.Connect.WritePrometheus(p, servicePrefix+"endpoint_connect_seconds", labels)
		}
	})
}
