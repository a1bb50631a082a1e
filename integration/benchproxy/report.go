package main

import (
	"fmt"
	"strings"

	"github.com/peapod/peapod/integration/internal/results"
)

const reportName = "benchmarks-proxy"

// description is a table before there are figures for it.
type description struct {
	measurement, title, text string
	unit                     results.Unit
	more                     bool
	bar                      float64 // of the ratio to the best rival
	limit                    float64
	inside                   float64 // of the way into a network namespace, to peapod here
}

func (b *bench) descriptions() []description {
	// A way into another network namespace may cost 5 %.
	const slower = 0.95
	return []description{
		{requests, "Requests on connections that stay open", fmt.Sprintf("wrk, %d connections, answers of a byte.", b.conns),
			results.Rate, true, 1.1, 0, slower},
		{connections, "Connections", fmt.Sprintf("wrk, %d at a time, each for one request: `Connection: close`.", b.conns),
			results.Rate, true, 1.1, 0, slower},
		{oneStream, "Bulk, one stream", "iperf3, from the client to the server.", results.Gbits, true, 1.8, 0, slower},
		{moreStreams, "Bulk, eight streams", "iperf3, eight connections, from the client to the server.", results.Gbits, true, 1.8, 0, slower},
		{latency, "Time of a request: the 99th percentile", "At half the requests per second that the best of HAProxy and nginx can take, " +
			"sent at a constant rate to all alike; the time counts from when a request was due, not from when it could be sent.",
			results.Time, false, 1, 0, 0},
		{middle, "Time of a request: the median", "The same requests.", results.Short, false, 0, 0, 0},
		{requestCPU, "Processor time for a request", "User and system time of the proxy's processes while the first table was measured, for each request.",
			results.Short, false, 1, 0, 0},
		{connectionCPU, "Processor time for a connection", "The same of the second table.", results.Short, false, 0, 0, 0},
		{byteCPU, "Processor time for a gigabyte", "The same of bulk in one stream.", results.Time, false, 0.7, 0, 0},
		{memory, "Memory of an idle connection", fmt.Sprintf("Anonymous memory (RssAnon) of a new process with %d connections (io.Copy, which takes six descriptors for each: %d), "+
			"each of which was served once, less that with the first ten. What a proxy takes for connections before they come is not in it, "+
			"nor what the kernel takes for sockets.", b.idle, b.idleOf(relayDescriptors)),
			results.Bytes, false, 1, 2048, 0},
	}
}

// tables are what was measured, with ratios to the best rival.
func (b *bench) tables() (all []results.Table) {
	for _, d := range b.descriptions() {
		if b.samples[d.measurement] == nil {
			continue // not asked for
		}
		t := results.Table{Title: d.title, Text: d.text, Unit: d.unit, More: d.more}
		t.Base, _ = b.best(d.measurement, d.more)
		for _, p := range b.peers {
			runs := b.samples[d.measurement][p.name]
			if len(runs) == 0 {
				continue
			}
			r := results.Row{Name: p.name, Runs: runs}
			switch {
			case p.name == peapodName:
				r.Bar, r.Limit = d.bar, d.limit
			case p.name == insideName && d.inside > 0:
				r.Base, r.Bar = peapodName, d.inside
			}
			t.Rows = append(t.Rows, r)
		}
		all = append(all, t)
	}
	return all
}

func (b *bench) markdown(tables []results.Table) string {
	var s strings.Builder
	s.WriteString("# Benchmarks of the proxy\n\n")
	if b.short {
		s.WriteString("**One short round (`-short`): these figures mean nothing.**\n\n")
	}
	fmt.Fprintf(&s, "Measured on %s, by `make bench-proxy`.\n\n", results.Machine(b.date))
	fmt.Fprintf(&s, "![The medians as bars](%s.svg)\n\n", reportName)
	for i := range tables {
		tables[i].Markdown(&s)
	}
	fmt.Fprintf(&s, reading, strings.Join(b.versions, ", "), b.rounds, b.turn)
	return s.String()
}

const reading = `## How to read it

Compared: %s.

Client, proxy and server share two processors, so that each microsecond that a
proxy takes is one that the others do not have: a ratio of throughputs says less
than the processor time does. Each peer had %d turns of %v in each
measurement, in rounds, and another one began each time. Machines differ and this
one was not silent: read the ratios, which compare medians of the same minutes,
and the spread, which is from the 10th to the 90th percentile. Ratios are to the
better of HAProxy and nginx, unless it is said otherwise.

The server behind the proxies is [a few lines](../integration/benchproxy/backend.go)
that answer every request with the same bytes: it is the part that is not
compared, and nginx takes several times as much for an answer. "No proxy" is
the same client at that server.

HAProxy runs with two threads in mode tcp, with ` + "`splice-auto`" + `; nginx with two
workers and ` + "`reuseport`" + `; both without logs and otherwise as they are
([their settings](../integration/benchproxy/peer.go)). peapod is
` + "`peapod proxy`" + ` as it is. "Into a network namespace" is the same with servers in
another network namespace, as it is with pods: only peapod can do that by itself,
the others would need a bridge or a process in there.

## What bounds it

Of peapod's time under requests 96 %% is the kernel's, 68 %% in send(2) alone, which
carries the bytes up to the peer's socket and wakes the peer (perf record). A request
is two recv, two send and a fifth of an epoll_wait: a proxy that took no time
in user space would have some 1.08 of HAProxy's requests here, where client and server share the
processors. In bulk there is little between peapod and no proxy at all; what is on
its way to a peer near by is kept small enough for the processor's cache.

## Repeat it

    sudo make bench-proxy                              # a quarter of an hour; writes this page
    sudo go run ./integration/benchproxy               # only prints it
    sudo go run ./integration/benchproxy -short        # half a minute; the figures mean nothing
    sudo go run ./integration/benchproxy -only bulk    # a part of it; -help lists them
    sudo go run ./integration/benchproxy -rounds 30    # more of everything

It needs Go and Debian's haproxy, nginx, libnginx-mod-stream, wrk and iperf3.
Everything that it starts is ended at the end.
`
