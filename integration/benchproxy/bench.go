package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/peapod/peapod/integration/internal/results"
	"github.com/peapod/peapod/namespaces"
)

// bench is what the measurements share.
type bench struct {
	*options
	tmp         string
	self        string // this program
	descriptors int
	serial      int
	given       map[string]bool

	inside    *namespaces.Set // a pod's network namespace, as it were
	insideAt  string          // its path
	here      backends
	there     backends // inside of it
	processes []*process
	peers     []*peer
	versions  []string
	date      time.Time

	samples map[string]map[string][]float64 // by measurement and peer
}

// backends are the addresses of two servers.
type backends struct {
	http, bulk string
}

func newBench(ctx context.Context, o *options, tmp string) (b *bench, err error) {
	b = &bench{options: o, tmp: tmp, given: map[string]bool{}, date: time.Now(), samples: map[string]map[string][]float64{}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.self, err = os.Executable(); err != nil {
		return b, err
	}
	if b.descriptors, err = moreDescriptors(); err != nil {
		return b, fmt.Errorf("raise the bound of descriptors: %w", err)
	}
	b.idle = b.idleOf(2)
	if err := b.findPrograms(ctx); err != nil {
		return b, err
	}
	// Before anything is started: what starts on a thread ends with it.
	if b.inside, err = (namespaces.Options{Loopback: true}).New(namespaces.Network); err != nil {
		return b, err
	}
	b.insideAt = strings.Replace(b.inside.Path(namespaces.Network), "self", fmt.Sprint(os.Getpid()), 1)
	if b.here, err = b.startBackends(); err != nil {
		return b, err
	}
	if b.there, err = b.startBackends("nsenter", "--net="+b.insideAt); err != nil {
		return b, err
	}
	b.peers = b.allPeers()
	for _, p := range b.peers {
		if err := b.begin(p); err != nil {
			return b, err
		}
	}
	return b, nil
}

// idleOf is how many idle connections a proxy can have that takes n descriptors
// for each.
func (b *bench) idleOf(n int) int { return min(b.idle, (b.descriptors-1000)/n) }

func (b *bench) close() {
	for _, p := range b.peers {
		if p.process != nil {
			p.process.stop()
		}
	}
	for _, p := range b.processes {
		p.stop()
	}
	if b.inside != nil {
		b.inside.Close()
	}
}

// programs are what is needed, with the Debian package that has it and how to
// ask for its version.
var programs = []struct{ name, shown, pkg, ask string }{
	{"haproxy", "HAProxy", "haproxy", "-v"},
	{"nginx", "nginx", "nginx libnginx-mod-stream", "-v"},
	{"wrk", "wrk", "wrk", "-v"},
	{"iperf3", "iperf3", "iperf3", "-v"},
	{"nsenter", "", "util-linux", ""},
}

func (b *bench) findPrograms(ctx context.Context) error {
	version, err := output(ctx, b.peapod, "--version")
	if err != nil {
		return fmt.Errorf("%w; run `make build` first", err)
	}
	b.versions = append(b.versions, "peapod "+lastWord(version))
	for _, p := range programs {
		path, err := exec.LookPath(p.name)
		if err != nil {
			return fmt.Errorf("there is no %s; try apt-get install %s", p.name, p.pkg)
		}
		if p.ask != "" {
			// nginx writes it to its standard error, wrk fails after it.
			out, _ := exec.CommandContext(ctx, path, p.ask).CombinedOutput()
			b.versions = append(b.versions, p.shown+" "+versionIn(string(out)))
		}
	}
	return nil
}

func lastWord(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return "of unknown version"
	}
	return words[len(words)-1]
}

// versionIn is the first word with a digit and a point in it.
func versionIn(s string) string {
	for word := range strings.FieldsSeq(s) {
		if strings.ContainsAny(word, "0123456789") && strings.Contains(word, ".") {
			return word[strings.LastIndexAny(word, "/")+1:]
		}
	}
	return "of unknown version"
}

// startBackends starts the servers that the proxies forward to, by a command
// that may enter a network namespace first.
func (b *bench) startBackends(enter ...string) (to backends, err error) {
	if to.http, err = b.freeAddress(); err != nil {
		return to, err
	}
	if to.bulk, err = b.freeAddress(); err != nil {
		return to, err
	}
	host, port, _ := strings.Cut(to.bulk, ":")
	for _, args := range [][]string{
		{b.self, "-backend", to.http},
		{"iperf3", "--server", "--bind", host, "--port", port},
	} {
		p, err := b.start("backend "+filepath.Base(args[0]), append(enter[:len(enter):len(enter)], args...)...)
		if err != nil {
			return to, err
		}
		b.processes = append(b.processes, p)
	}
	if len(enter) > 0 {
		return to, nil // the proxy into it tells whether they are there
	}
	return to, b.processes[len(b.processes)-2].ready(to.http)
}

// sample notes a figure of a peer.
func (b *bench) sample(measurement string, p *peer, value float64) {
	if b.samples[measurement] == nil {
		b.samples[measurement] = map[string][]float64{}
	}
	b.samples[measurement][p.name] = append(b.samples[measurement][p.name], value)
}

// best is the better median of HAProxy's and nginx's, and whose it is.
func (b *bench) best(measurement string, more bool) (name string, value float64) {
	for _, p := range b.peers {
		if m := results.Median(b.samples[measurement][p.name]); p.rival && m > 0 && (name == "" || m > value == more) {
			name, value = p.name, m
		}
	}
	return name, value
}
