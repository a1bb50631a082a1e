package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) serviceInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "print services, their endpoints and what their annotations come to",
		ArgsUsage: "SERVICE...",
		Description: `An endpoint is ready, not ready, with the reason, or ending; receives tells
whether new connections are led there. The owner is the process that listens for
the service on the host. When it dies another one that has a pod of the service
takes that over, and where there is none the service goes.

Example: peapod service inspect -o text web`,
		Flags: []cli.Flag{
			outputFlag(inspectFormats...),
		},
		Action: p.serviceInspect,
	}
}

var inspectFormats = []string{"json", "yaml", "text"}

func (p *peapod) serviceInspect(c *cli.Context) error {
	if err := c.NeedArgs(1, -1); err != nil {
		return err
	}
	format, err := output(c, inspectFormats...)
	if err != nil {
		return err
	}
	services, err := p.findServices(c.Args())
	if err != nil {
		return err
	}
	pods, err := p.store().List()
	if err != nil {
		return err
	}
	var list []serviceDetails
	for _, r := range services {
		d, err := detailsOf(r, pods)
		if err != nil {
			return fmt.Errorf("service %s: %w", r.Service.Metadata.Name, err)
		}
		list = append(list, d)
	}
	if format != "text" {
		return p.print(list, format)
	}
	for i := range list {
		if i > 0 {
			fmt.Fprintln(p.stdout)
		}
		if err := list[i].write(p.stdout); err != nil {
			return err
		}
	}
	return nil
}

// serviceDetails is all that is known of a service.
type serviceDetails struct {
	Service   *pod.Service          `json:"service"`
	Created   time.Time             `json:"created"`
	Listeners []pod.ServiceListener `json:"listeners"`
	Endpoints []pod.ServiceEndpoint `json:"endpoints"`
	Options   optionDetails         `json:"options"`
	Owner     ownerDetails          `json:"owner"`
}

// ownerDetails names the process that has registered a service, and its pods.
type ownerDetails struct {
	PID  int      `json:"pid"`
	Pods []string `json:"pods"`
}

// optionDetails are the options that a service has, defaults included.
type optionDetails struct {
	Balance        string `json:"balance"`
	Affinity       string `json:"affinity"`
	SlowStart      string `json:"slowStart"`
	MaxConnections int    `json:"maxConnections"` // of each endpoint; 0: any number
	Queue          int    `json:"queue"`
	IdleTimeout    string `json:"idleTimeout"`
	KeepAlive      string `json:"keepAlive"`
	// AcceptProxyProtocol and SendProxyProtocol are of the PROXY protocol;
	// the latter is v1, v2 or none.
	AcceptProxyProtocol bool   `json:"acceptProxyProtocol"`
	SendProxyProtocol   string `json:"sendProxyProtocol"`
	Transparent         bool   `json:"transparent"`
}

func detailsOf(r *pod.ServiceRecord, pods []*pod.Record) (d serviceDetails, err error) {
	d = serviceDetails{Service: r.Service, Created: r.Created, Owner: ownerDetails{r.PID, []string{}}}
	d.Listeners = append([]pod.ServiceListener{}, r.Listeners()...)
	d.Endpoints = append([]pod.ServiceEndpoint{}, r.Leads(pods)...)
	d.Options, err = optionsOf(r.Service)
	for _, record := range pods {
		if record.Status.Supervisor.PID == r.PID && !ended(record) {
			d.Owner.Pods = append(d.Owner.Pods, record.Pod.Metadata.Name)
		}
	}
	return d, err
}

// optionsOf resolves a service's annotations.
func optionsOf(s *pod.Service) (optionDetails, error) {
	o, err := s.Options()
	d := optionDetails{
		Balance: string(o.Balance), Affinity: spanOr(s.Affinity(), "none"), SlowStart: spanOr(o.SlowStart, "none"),
		MaxConnections: o.MaxConnections, Queue: o.Queue, IdleTimeout: spanOr(o.IdleTimeout, "none"), KeepAlive: spanOr(o.KeepAlive, "15s"),
		AcceptProxyProtocol: o.AcceptProxyProtocol, SendProxyProtocol: "none", Transparent: o.Transparent,
	}
	if o.SendProxyProtocol != 0 {
		d.SendProxyProtocol = fmt.Sprintf("v%d", o.SendProxyProtocol)
	}
	if o.Balance == "" {
		d.Balance = string(pod.BalanceRandom)
	}
	if o.KeepAlive < 0 {
		d.KeepAlive = "off"
	}
	for _, p := range s.Spec.Ports {
		if p.Protocol == "UDP" && o.IdleTimeout == 0 {
			d.IdleTimeout = "none; UDP 30s, 2m for streams"
		}
	}
	return d, err
}

// spanOr is a span of time without zeros at its end: 3h, not 3h0m0s.
func spanOr(d time.Duration, otherwise string) string {
	if d == 0 {
		return otherwise
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// write writes the details as kubectl describe does.
func (d *serviceDetails) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 1, 3, ' ', 0)
	line := func(name string, values ...string) {
		for i, value := range values {
			if i > 0 {
				name = ""
			} else {
				name += ":"
			}
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	spec := &d.Service.Spec
	line("Name", d.Service.Metadata.Name)
	line("Type", string(spec.Type))
	switch {
	case spec.Type == pod.ServiceExternalName:
		line("Stands for", spec.ExternalName)
	case spec.ClusterIP == pod.HeadlessIP:
		line("Stands for", "the addresses of its endpoints (headless)")
	}
	if spec.Type != pod.ServiceExternalName {
		line("Selector", orNone(pairs(spec.Selector)))
	}
	line("Created", d.Created.Format(time.RFC3339))
	line("Owner", fmt.Sprintf("process %d, pods %s", d.Owner.PID, orNone(d.Owner.Pods)))
	line("Listens", d.listens()...)
	if len(d.Listeners) > 0 {
		line("Options", d.Options.lines()...)
	}
	if err := w.Flush(); err != nil || spec.Type == pod.ServiceExternalName {
		return err
	}
	if len(d.Endpoints) == 0 && len(spec.Selector) > 0 {
		_, err := fmt.Fprintf(out, "Endpoints:   %s: no pod has the labels %s\n", none, strings.Join(pairs(spec.Selector), ","))
		return err
	}
	return writeEndpoints(out, d.Endpoints)
}

func (d *serviceDetails) listens() (list []string) {
	for _, l := range d.Listeners {
		list = append(list, fmt.Sprintf("%s/%s for port %d (%s)", shortAddress(l.Address), l.Protocol, l.Port, l.Field))
	}
	if list == nil {
		return []string{none}
	}
	return list
}

func (o optionDetails) lines() []string {
	limit := "any number"
	if o.MaxConnections > 0 {
		limit = strconv.Itoa(o.MaxConnections)
	}
	list := []string{
		fmt.Sprintf("balance %s, affinity %s, slow start %s", o.Balance, o.Affinity, o.SlowStart),
		fmt.Sprintf("connections per endpoint %s, queue %d", limit, o.Queue),
		fmt.Sprintf("idle timeout %s, keep-alive %s", o.IdleTimeout, o.KeepAlive),
	}
	if o.AcceptProxyProtocol {
		list = append(list, "the PROXY protocol tells who a client is")
	}
	if o.SendProxyProtocol != "none" {
		list = append(list, "endpoints are told by the PROXY protocol "+o.SendProxyProtocol)
	}
	if o.Transparent {
		list = append(list, "endpoints see clients' own addresses")
	}
	return list
}

func writeEndpoints(out io.Writer, list []pod.ServiceEndpoint) error {
	if len(list) == 0 {
		_, err := fmt.Fprintf(out, "Endpoints:   %s\n", none)
		return err
	}
	fmt.Fprintln(out, "Endpoints:")
	w := tabwriter.NewWriter(out, 0, 1, 3, ' ', 0)
	for _, e := range list {
		var ports []string
		for _, p := range e.Ports {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
		state := string(e.State)
		if e.State == pod.EndpointNotReady && e.Receives {
			state += ", receives"
		}
		name := e.Name
		if e.Pod && e.IP != "" {
			name += " " + e.IP
		}
		line := "  " + name + "\t" + state + "\t" + orNone(ports)
		if e.Reason != "" {
			line += "\t" + e.Reason
		}
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}
