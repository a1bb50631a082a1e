package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) serviceLsCommand() *cli.Command {
	return &cli.Command{
		Name:  "ls",
		Usage: "list the services",
		Description: `EXTERNAL is where else the service is reached, * for all addresses of the host.
PORT(S) has the service's ports, each with its node port. ENDPOINTS is how many
pods receive connections, of those that the service selects.

Example: peapod service ls -o wide`,
		Flags: []cli.Flag{
			outputFlag(listFormats...),
			{Name: "quiet", Short: "q", Usage: "print names only"},
		},
		Action: p.serviceLs,
	}
}

func (p *peapod) serviceLs(c *cli.Context) error {
	if err := c.NeedArgs(0, 0); err != nil {
		return err
	}
	format, err := output(c, listFormats...)
	if err != nil {
		return err
	}
	services, err := p.store().ListServices()
	if err != nil {
		return err
	}
	names, list := []string{}, serviceList{APIVersion: "v1", Kind: "ServiceList", Items: []*pod.Service{}}
	for _, r := range services {
		names = append(names, r.Service.Metadata.Name)
		list.Items = append(list.Items, r.Service)
	}
	switch {
	case c.Bool("quiet"):
		for _, name := range names {
			fmt.Fprintln(p.stdout, name)
		}
		return nil
	case format == "name":
		return p.printNames("service", names)
	case format == "json" || format == "yaml":
		return p.print(list, format)
	case len(services) == 0:
		fmt.Fprintln(p.stderr, "peapod: "+noServices)
		return nil
	}
	pods, err := p.store().List()
	if err != nil {
		return err
	}
	return writeServices(p.stdout, services, pods, time.Now(), format == "wide")
}

type serviceList struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Items      []*pod.Service `json:"items"`
}

func writeServices(out io.Writer, services []*pod.ServiceRecord, pods []*pod.Record, now time.Time, wide bool) error {
	w := tabwriter.NewWriter(out, 8, 1, 3, ' ', 0)
	head := "NAME\tTYPE\tCLUSTER-IP\tEXTERNAL\tPORT(S)\tENDPOINTS\tAGE"
	if wide {
		head += "\tSELECTOR\tOWNER"
	}
	fmt.Fprintln(w, head)
	for _, r := range services {
		fmt.Fprintln(w, strings.Join(serviceRow(r, pods, now, wide), "\t"))
	}
	return w.Flush()
}

// none is what kubectl prints for nothing.
const none = "<none>"

func orNone(list []string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ",")
}

// serviceRow is a service's line in the table.
func serviceRow(r *pod.ServiceRecord, pods []*pod.Record, now time.Time, wide bool) []string {
	spec := &r.Service.Spec
	ip := spec.ClusterIP
	if ip == "" {
		ip = none
	}
	row := []string{
		r.Service.Metadata.Name, string(spec.Type), ip, serviceExternal(r), orNone(servicePorts(spec)),
		serviceEndpoints(r, pods), age(r.Created, now),
	}
	if wide {
		row = append(row, orNone(pairs(spec.Selector)), strconv.Itoa(r.PID))
	}
	return row
}

// serviceExternal are the addresses beside the cluster IP.
func serviceExternal(r *pod.ServiceRecord) string {
	if r.Service.Spec.Type == pod.ServiceExternalName {
		return r.Service.Spec.ExternalName
	}
	var list []string
	for _, l := range r.Listeners() {
		if l.Field == "spec.clusterIP" {
			continue
		}
		if address := shortAddress(l.Address); !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	return orNone(list)
}

// shortAddress has * for all addresses of the host.
func shortAddress(text string) string {
	if a, err := netip.ParseAddrPort(text); err == nil && a.Addr().IsUnspecified() {
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return text
}

// servicePorts are as kubectl prints them: 80/TCP, 80:30321/TCP.
func servicePorts(spec *pod.ServiceSpec) (list []string) {
	for _, p := range spec.Ports {
		text := strconv.Itoa(p.Port)
		if p.NodePort != 0 {
			text += ":" + strconv.Itoa(p.NodePort)
		}
		list = append(list, text+"/"+p.Protocol)
	}
	return list
}

// serviceEndpoints is how many receive connections, of how many.
func serviceEndpoints(r *pod.ServiceRecord, pods []*pod.Record) string {
	if r.Service.Spec.Type == pod.ServiceExternalName {
		return "-"
	}
	all := r.Leads(pods)
	receiving := 0
	for _, e := range all {
		if e.Receives {
			receiving++
		}
	}
	return fmt.Sprintf("%d/%d", receiving, len(all))
}

// pairs are labels, ordered.
func pairs(labels map[string]string) (list []string) {
	for key, value := range labels {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return list
}
