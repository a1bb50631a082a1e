package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// peer is a proxy that is measured.
type peer struct {
	name  string
	rival bool // the better of these sets the bars
	// into is where it forwards to.
	into backends
	// run returns the command line that forwards from each address to the
	// other one. nil: no proxy.
	run func(dir string, pairs [][2]string) ([]string, error)

	process  *process
	at       backends // where it listens
	starting int
}

// Names that the report refers to.
const (
	peapodName = "peapod"
	insideName = "peapod, into a network namespace"
	relayName  = "Go, io.Copy each way"
	floorName  = "floor: no proxy"
)

// relayDescriptors are those of one connection where io.Copy splices: two
// sockets, and a pipe for each direction, also while it is idle.
const relayDescriptors = 6

func (b *bench) allPeers() []*peer {
	return []*peer{
		{name: peapodName, into: b.here, run: b.runPeapod("")},
		{name: insideName, into: b.there, run: b.runPeapod(b.insideAt)},
		{name: "HAProxy", rival: true, into: b.here, run: b.runHAProxy},
		{name: "nginx stream", rival: true, into: b.here, run: b.runNginx},
		{name: relayName, into: b.here, run: b.runRelay},
		{name: floorName, into: b.here},
	}
}

// begin starts a peer.
func (b *bench) begin(p *peer) (err error) {
	if p.run == nil {
		p.at = p.into
		return nil
	}
	if p.at.http, err = b.freeAddress(); err != nil {
		return err
	}
	if p.at.bulk, err = b.freeAddress(); err != nil {
		return err
	}
	p.starting++
	dir := filepath.Join(b.tmp, fmt.Sprintf("%s-%d", strings.Map(letters, p.name), p.starting))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	args, err := p.run(dir, [][2]string{{p.at.http, p.into.http}, {p.at.bulk, p.into.bulk}})
	if err != nil {
		return err
	}
	if p.process, err = b.start(p.name, args...); err != nil {
		return err
	}
	return p.process.ready(p.at.http, p.at.bulk)
}

func letters(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
		return r
	}
	return -1
}

// restart gives a peer a new process: one that has no memory of what was.
func (b *bench) restart(p *peer) error {
	p.process.stop()
	return b.begin(p)
}

func (b *bench) runPeapod(netns string) func(string, [][2]string) ([]string, error) {
	return func(dir string, pairs [][2]string) ([]string, error) {
		var c strings.Builder
		c.WriteString("gracePeriod: 0s\nservices:\n")
		for _, pair := range pairs {
			fmt.Fprintf(&c, "- listen: [%q]\n  backends: [{address: %q}]\n  netns: %q\n", pair[0], pair[1], netns)
		}
		return configured(dir, c.String(), b.peapod, "proxy", "--config")
	}
}

// configured writes the configuration and adds its path to the command line.
func configured(dir, text string, args ...string) ([]string, error) {
	path := filepath.Join(dir, "config")
	return append(args, path), os.WriteFile(path, []byte(text), 0o644)
}

// Two threads, as there are two processors; no logs; splice(2) where HAProxy
// finds that it pays; no limits in the way.
const haproxyConfig = `global
	nbthread 2
	maxconn %[1]d
	maxpipes 100
defaults
	mode tcp
	maxconn %[1]d
	backlog 4096
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	option splice-auto
`

func (b *bench) runHAProxy(dir string, pairs [][2]string) ([]string, error) {
	c := fmt.Sprintf(haproxyConfig, b.idle+200)
	for i, pair := range pairs {
		c += fmt.Sprintf("listen l%d\n\tbind %s\n\tserver s %s\n", i, pair[0], pair[1])
	}
	return configured(dir, c, "haproxy", "-db", "-f")
}

// Two workers, each with sockets of its own to listen on; no logs.
const nginxConfig = `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 2;
pid %s/pid;
error_log stderr error;
events { worker_connections %d; }
stream {
	access_log off;
	proxy_timeout 1h;
`

func (b *bench) runNginx(dir string, pairs [][2]string) ([]string, error) {
	c := fmt.Sprintf(nginxConfig, dir, 2*b.idle+400)
	for _, pair := range pairs {
		c += fmt.Sprintf("\tserver { listen %s reuseport backlog=4096; proxy_pass %s; }\n", pair[0], pair[1])
	}
	return configured(dir, c+"}\n", "nginx", "-e", "stderr", "-p", dir, "-c")
}

func (b *bench) runRelay(_ string, pairs [][2]string) ([]string, error) {
	args := []string{b.self, "-relay"}
	for _, pair := range pairs {
		args = append(args, pair[0], pair[1])
	}
	return args, nil
}
