package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/proxy"
)

// lines is the view as a table: each port of a service, and below it its
// endpoints.
func (v *topView) lines() []string {
	if len(v.Ports) == 0 {
		return []string{noServices}
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSTATE\tCONNS\tQUEUE\tCONN/S\tIN/S\tOUT/S\tTOTAL\tFAILED\tP50\tP99")
	for i := range v.Ports {
		p := &v.Ports[i]
		fmt.Fprintf(w, "%s:%d/%s\t%s\t%d\t%d\t%s\n", p.Service, p.Port, p.Protocol, p.state(), p.Active, p.Waiting, p.cells())
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			fmt.Fprintf(w, "  %s\t%s\t%d\t\t%s\n", e.Name, e.state(), e.Active, e.cells())
		}
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// state counts the endpoints that get connections.
func (p *topPort) state() string {
	ready, all := 0, 0
	for i := range p.Endpoints {
		states := p.Endpoints[i].States
		if states[proxy.EndpointReady.String()] > 0 {
			ready++
		}
		if states[proxy.EndpointReady.String()]+states[proxy.EndpointAside.String()] > 0 {
			all++
		}
	}
	if ready == all {
		return fmt.Sprintf("%d ready", ready)
	}
	return fmt.Sprintf("%d of %d ready", ready, all)
}

// state is what the processes say, and how many of them where they differ.
func (e *topEndpoint) state() string {
	all := 0
	for _, n := range e.States {
		all += n
	}
	for _, state := range []proxy.EndpointState{proxy.EndpointAside, proxy.EndpointDraining} {
		switch n := e.States[state.String()]; {
		case n == all && n > 0:
			return state.String()
		case n > 0:
			return fmt.Sprintf("%s (%d of %d)", state, n, all)
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(e.States)), ", ")
}

// cells are the columns from the rates on.
func (c *topCounts) cells() string {
	row := []string{"-", "-", "-", strconv.FormatUint(c.Total, 10), strconv.FormatUint(c.Failed, 10), "-", "-"}
	if r := c.PerSecond; r != nil {
		row[0], row[1], row[2] = rate(r.Connections), size(r.In), size(r.Out)
	}
	if c.latency != nil {
		row[5], row[6] = brief(c.latency.Quantile(0.5)), brief(c.latency.Quantile(0.99))
	}
	return strings.Join(row, "\t")
}

// rate has one digit behind the point where that matters.
func rate(n float64) string {
	if n > 0 && n < 99.95 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// size is a number of bytes with three or four digits: 512, 1.5K, 34M.
func size(n float64) string {
	unit := 0
	for ; n >= 1023.5 && unit < 5; unit++ {
		n /= 1024
	}
	if unit == 0 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	digits := 0
	if n < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + "KMGTP"[unit-1:unit]
}

// brief is a duration with two or three digits: 85us, 1.2ms, 3.4s.
func brief(d time.Duration) string {
	n, unit := float64(d)/float64(time.Microsecond), "us"
	if n >= 999.5 {
		n, unit = n/1000, "ms"
	}
	if n >= 999.5 {
		n, unit = n/1000, "s"
	}
	digits := 0
	if n < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + unit
}
