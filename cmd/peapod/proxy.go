package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	goruntime "runtime"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"golang.org/x/sys/unix"
)

func (p *peapod) proxyCommand() *cli.Command {
	return &cli.Command{
		Name:  "proxy",
		Usage: "forward TCP connections and UDP datagrams to backends",
		Description: `Connections to each listening address are passed on to one of the backends.
At udp://ADDR datagrams are, those of one client to one backend until nothing has
moved for the idle timeout, and the answers back; --max-conns counts such flows.
Clients of both are served by --listen :53 --listen udp://:53.
SIGTERM or Ctrl-C ends that: it listens no more, and ends when the connections
have ended or the grace period is over; a second signal ends it at once.

With --config a JSON or YAML file says all of it, for any number of services:

    services:
    - name: web
      listen: [":8080"]
      backends:
      - {address: "127.0.0.1:80", netns: /run/netns/a, weight: 2}
      - {address: "127.0.0.1:80", netns: /run/netns/b, maxConns: 100}
      affinity: 3h          # and more, as the options: balance, slowStart,
      idleTimeout: 1h       # queue, queueTimeout, connectTimeout, connectRetry,
      maxConns: 1000        # proxyProtocolIn, proxyProtocolOut, transparent,
      check: tcp            # checkInterval, checkTimeout, rise, fall,
      ejectAfter: 3         # ejectTime, maxEjectTime; and
      drainTimeout: 1m      # for backends that left the file
    metrics: 127.0.0.1:9100
    gracePeriod: 1m

SIGHUP reads it again: what is not in the new file is drained, and what is there
goes on undisturbed. A file with a mistake changes nothing.

Example: peapod proxy --listen :80 --backend 127.0.0.1:80 --netns /run/netns/web`,
		Flags:  proxyFlags(),
		Action: p.proxy,
	}
}

func (p *peapod) proxy(c *cli.Context) error {
	if err := c.NeedArgs(0, 0); err != nil {
		return err
	}
	config, err := proxyOptions(c)
	if err != nil {
		return err
	}
	catch := []os.Signal{unix.SIGINT, unix.SIGTERM}
	if config.file != "" || !signal.Ignored(unix.SIGHUP) { // nohup
		catch = append(catch, unix.SIGHUP)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, catch...)
	defer signal.Stop(signals)
	// Without a reader of its messages it goes on all the same.
	signal.Ignore(unix.SIGPIPE)

	// An event loop for each processor: package proxy leaves one of Go's places
	// to the rest of a program, which here is next to nothing.
	goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0) + 1)

	s := newProxyServer(p.log)
	defer s.close()
	if err := s.apply(config); err != nil {
		return err
	}
	p.tellListening(s)
	p.notifyService("READY=1")
	p.proxyAttend(s, config.file, signals)
	p.notifyService("STOPPING=1")
	return p.proxyDrain(c.Context, s, signals)
}

// proxyAttend serves until a signal ends that.
func (p *peapod) proxyAttend(s *proxyServer, file string, signals <-chan os.Signal) {
	for sig := range signals {
		// Without a file there is nothing to read again, and SIGHUP is that of
		// a terminal that went away.
		if sig != unix.SIGHUP || file == "" {
			return
		}
		p.notifyService(reloading())
		err := p.proxyReload(s, file)
		if err != nil {
			p.exitCode(fmt.Errorf("the old settings stay: %w", err))
		}
		p.notifyService("READY=1")
	}
}

func (p *peapod) proxyReload(s *proxyServer, file string) error {
	config, err := readProxyConfig(file)
	if err != nil {
		return err
	}
	if err := s.apply(config); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "peapod: %s: read again\n", file)
	p.tellListening(s)
	return nil
}

// proxyDrain lets connections end until a signal, or the grace period's end,
// cuts them.
func (p *peapod) proxyDrain(ctx context.Context, s *proxyServer, signals <-chan os.Signal) error {
	grace := s.gracePeriod()
	ctx, cancel := context.WithTimeoutCause(ctx, grace, fmt.Errorf("the grace period of %v is over", grace))
	defer cancel()
	ctx, hurry := context.WithCancelCause(ctx)
	defer hurry(nil)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != unix.SIGHUP {
					hurry(errors.New("ended by a second signal"))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if active := s.active(); active > 0 {
		fmt.Fprintf(p.stderr, "peapod: waiting for %d connections to end (within %v; once more to cut them)\n", active, grace)
	}
	if err := s.shutdown(ctx); err != nil {
		p.log.Warn("connections were cut", "error", err)
	}
	return nil
}

// tellListening says where: with port 0 that is the only way to learn it.
func (p *peapod) tellListening(s *proxyServer) {
	for _, at := range s.listening() {
		fmt.Fprintf(p.stderr, "peapod: proxy: %s listens at %s\n", at.service, at.addr)
	}
	if addr := s.metricsAddr(); addr != "" {
		fmt.Fprintf(p.stderr, "peapod: proxy: metrics are at %s\n", addr)
	}
}

// defaultGracePeriod is Kubernetes'.
const defaultGracePeriod = 30 * time.Second
