package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What is measured: keys of bench.samples.
const (
	requests      = "requests"
	connections   = "connections"
	oneStream     = "bulk in one stream"
	moreStreams   = "bulk in eight streams"
	latency       = "latency"
	middle        = "median latency"
	requestCPU    = "processor time per request"
	connectionCPU = "processor time per connection"
	byteCPU       = "processor time per gigabyte"
	memory        = "memory"
)

// measurements are those that have turns of their own, in their order.
var measurements = []string{requests, connections, oneStream, moreStreams, latency, memory}

// streams are those of the second measurement of bulk.
const streams = 8

// measure runs all rounds.
func (b *bench) measure(ctx context.Context) error {
	turns := map[string]func(context.Context, *peer) error{
		requests: b.measureRequests, connections: b.measureConnections,
		oneStream:   func(ctx context.Context, p *peer) error { return b.measureBulk(ctx, p, 1) },
		moreStreams: func(ctx context.Context, p *peer) error { return b.measureBulk(ctx, p, streams) },
		latency:     b.measureLatency, memory: b.measureMemory,
	}
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "benchproxy: round %d of %d\n", round+1, b.rounds)
		for i, name := range measurements {
			if !b.only.MatchString(name) {
				continue
			}
			for j := range b.peers {
				p := b.peers[(i+j+round)%len(b.peers)]
				if err := turns[name](ctx, p); err != nil {
					return fmt.Errorf("%s: %s: %w%s", name, p.name, err, p.said())
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	}
	return nil
}

// busy runs f and returns how much processor time the peer's processes took.
func (p *peer) busy(f func() error) (time.Duration, error) {
	if p.process == nil {
		return 0, f()
	}
	before, err := p.process.cpu()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := p.process.cpu()
	return after - before, err
}

func (b *bench) measureRequests(ctx context.Context, p *peer) error {
	return b.measureWrk(ctx, p, requests, requestCPU)
}

// measureWrk notes how many requests there are in a second, and what each of
// them takes of the processors.
func (b *bench) measureWrk(ctx context.Context, p *peer, rate, cpu string, args ...string) error {
	var got wrkResult
	took, err := p.busy(func() (err error) {
		got, err = b.wrk(ctx, p.at.http, args...)
		return err
	})
	if err != nil {
		return err
	}
	b.sample(rate, p, got.rate)
	if p.process != nil {
		b.sample(cpu, p, float64(took)/float64(got.requests))
	}
	return nil
}

func (b *bench) measureConnections(ctx context.Context, p *peer) error {
	return b.measureWrk(ctx, p, connections, connectionCPU, "--header", "Connection: close")
}

// wrkResult is what wrk says.
type wrkResult struct {
	rate     float64 // requests/s
	requests int
}

func (b *bench) wrk(ctx context.Context, addr string, more ...string) (wrkResult, error) {
	args := append([]string{"--threads", "2", "--timeout", "10s", "--connections", strconv.Itoa(b.conns),
		"--duration", fmt.Sprintf("%.0fs", b.turn.Seconds())}, more...)
	out, err := output(ctx, "wrk", append(args, "http://"+addr+"/")...)
	if err != nil {
		return wrkResult{}, err
	}
	return parseWrk(out)
}

func parseWrk(out string) (r wrkResult, err error) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		rate, isRate := strings.CutPrefix(line, "Requests/sec:")
		count, isCount := strings.CutSuffix(line[:max(strings.Index(line, " in "), 0)], " requests")
		switch {
		case strings.HasPrefix(line, "Socket errors:"), strings.HasPrefix(line, "Non-2xx"):
			return r, fmt.Errorf("wrk: %s", line)
		case isRate:
			r.rate, err = strconv.ParseFloat(strings.TrimSpace(rate), 64)
		case isCount:
			r.requests, err = strconv.Atoi(count)
		}
		if err != nil {
			return r, fmt.Errorf("wrk: %q: %w", line, err)
		}
	}
	if r.requests == 0 || r.rate == 0 {
		return r, fmt.Errorf("wrk: no request was answered: %s", out)
	}
	return r, nil
}

// measureBulk has a client send to a server as fast as it can.
func (b *bench) measureBulk(ctx context.Context, p *peer, n int) error {
	var bits, seconds float64
	took, err := p.busy(func() (err error) {
		bits, seconds, err = b.iperf(ctx, p.at.bulk, n)
		return err
	})
	if err != nil {
		return err
	}
	if n > 1 {
		b.sample(moreStreams, p, bits/1e9)
		return nil
	}
	b.sample(oneStream, p, bits/1e9)
	if p.process != nil {
		b.sample(byteCPU, p, float64(took)/(bits*seconds/8/1e9))
	}
	return nil
}

// iperf returns how many bits a second have arrived, for how many seconds.
func (b *bench) iperf(ctx context.Context, addr string, n int) (bits, seconds float64, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, 0, err
	}
	for range 100 {
		var out string
		out, err = output(ctx, "iperf3", "--client", host, "--port", port, "--json", "--parallel", strconv.Itoa(n),
			"--time", fmt.Sprintf("%.0f", b.turn.Seconds()))
		if err == nil {
			bits, seconds, err = parseIperf(out)
		}
		// The server may still be about to end the test before.
		if err == nil || !strings.Contains(err.Error(), "server is busy") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return bits, seconds, err
}

// parseIperf returns how many bits have arrived in a second, for how many
// seconds.
func parseIperf(out string) (bits, seconds float64, err error) {
	var r struct {
		Error string
		End   struct {
			Received struct {
				Bits    float64 `json:"bits_per_second"`
				Seconds float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return 0, 0, fmt.Errorf("iperf3: %w", err)
	}
	if got := r.End.Received; r.Error == "" && got.Bits > 0 && got.Seconds > 0 {
		return got.Bits, got.Seconds, nil
	}
	return 0, 0, fmt.Errorf("iperf3: nothing has arrived %s", r.Error)
}

// measureLatency sends half of what the best rival could take, to all alike.
func (b *bench) measureLatency(ctx context.Context, p *peer) error {
	_, peak := b.best(requests, true)
	if peak == 0 {
		return errors.New("it needs the peak of the others: measure requests too")
	}
	out, err := output(ctx, b.self, "-load", p.at.http, fmt.Sprintf("%.0f", peak/2), fmt.Sprintf("%.0f", b.turn.Seconds()), strconv.Itoa(b.conns))
	if err != nil {
		return err
	}
	var r loadResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return err
	}
	if r.Requests == r.Unanswered {
		return errors.New("no request was answered")
	}
	b.sample(middle, p, float64(r.P50))
	b.sample(latency, p, float64(r.P99))
	return nil
}

// measureMemory looks at what a new process takes for connections that have
// served a request and are silent then.
func (b *bench) measureMemory(_ context.Context, p *peer) error {
	if p.process == nil {
		return nil
	}
	if err := b.restart(p); err != nil {
		return err
	}
	var c clients
	defer c.close()
	// The first ones wake up what is made once.
	if err := c.open(p.at.http, 10); err != nil {
		return err
	}
	before, err := p.process.memory()
	if err != nil {
		return err
	}
	n := b.idle
	if p.name == relayName {
		n = b.idleOf(relayDescriptors)
	}
	if err := c.open(p.at.http, n); err != nil {
		return fmt.Errorf("connection %d: %w", len(c), err)
	}
	after, err := p.process.memory()
	if err != nil {
		return err
	}
	b.sample(memory, p, max(float64(after-before), 0)/float64(n))
	return nil
}
