package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run the pods of a file",
		ArgsUsage: "FILE|-",
		Description: `A file may describe several pods, which one process runs. In the foreground
each line that a container writes is printed behind its name; Ctrl-C stops the
pods, a second one kills them, and nothing is left. The exit status is that of
the first container that failed, and 0 when the pods were stopped before; 127
where a command was not found, 126 where it could not be executed. With --detach
a process of its own runs the pods, and this command returns when all
containers run.

NETWORK is none, bridge, pasta, slirp4netns, host or cni:NAME; auto is a bridge for
root, pasta or slirp4netns for others, where that can be had, and none elsewhere.

Example: peapod pod run --name hi --env GREETING=hello examples/hello.json`,
		Flags: []cli.Flag{
			fileFlag,
			{Name: "detach", Short: "d", Usage: "return when it runs"},
			{Kind: cli.String, Name: "name", Usage: "call the pod `NAME`"},
			{Kind: cli.String, Name: "network", Value: "auto", Env: "PEAPOD_NETWORK", Usage: "the pod's `NETWORK`: none, bridge, host…"},
			{Kind: cli.String, Name: "service-cidr", Env: "PEAPOD_SERVICE_CIDR", Usage: "take addresses of services from `CIDR`, or IPv4,IPv6"},
			{Kind: cli.Strings, Name: "publish", Short: "p", Usage: "forward a host port into the pod: `[IP:]HOST:POD`; may be repeated"},
			{Kind: cli.Strings, Name: "env", Short: "e", Usage: "set `NAME=VALUE` in all containers; may be repeated"},
			{Kind: cli.Strings, Name: "arg", Usage: "append an argument: `CONTAINER=ARG`; may be repeated"},
		},
		Action: p.podRun,
	}
}

func (p *peapod) podRun(c *cli.Context) error {
	file, err := fileArgument(c)
	if err != nil {
		return err
	}
	if c.IsSet("name") && c.String("name") == "" {
		return errors.New("pod run: --name: give a name, or leave the option out")
	}
	file, data, err := p.readSpec(file)
	if err != nil {
		return err
	}
	p.log.Debug("run a pod", "spec", file, "name", c.String("name"), "detach", c.Bool("detach"), "root", p.root, "data", p.data)
	o := pod.Options{Store: *p.store(), Name: c.String("name"), Network: c.String("network")}
	if o.Args, err = parseArgs(c.Strings("arg")); err != nil {
		return err
	}
	if o.Store.ServiceRanges, err = parseServiceCIDR(c.String("service-cidr")); err != nil {
		return err
	}
	if o.Publish, err = parsePublish(c.Strings("publish")); err != nil {
		return err
	}
	if o.Env, err = parseEnv(c.Strings("env"), os.LookupEnv); err != nil {
		return err
	}
	if o.Builtin, err = os.Executable(); err != nil {
		return err
	}
	if c.Bool("detach") {
		return podError(p.podDetach(c.Context, file, data, o))
	}
	m, err := pod.ParseManifest(file, data)
	if err != nil {
		return podError(err)
	}
	p.printWarnings(m)
	return p.podForeground(c.Context, m, &o)
}

// printWarnings tells what is probably a mistake in a manifest.
func (p *peapod) printWarnings(m *pod.Manifest) {
	for _, w := range m.Warnings() {
		fmt.Fprintf(p.stderr, "peapod: warning: %v\n", w)
	}
}

// podDetach starts a supervisor and prints the pods' names.
func (p *peapod) podDetach(ctx context.Context, file string, data []byte, o pod.Options) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer stop()
	names, addrs, err := pod.Detach(ctx, &pod.Detached{File: file, Data: data, Options: o}, o.Builtin, "pod", "supervise")
	if err != nil {
		return err
	}
	m, err := pod.ParseManifest(file, data)
	if err != nil {
		return err
	}
	p.printWarnings(m)
	p.printServices(o.Store.ServicesOf(m))
	p.printLacking(names, func(i int) pod.PodStatus {
		if r, err := o.Store.Get(names[i]); err == nil {
			return r.Status
		}
		return pod.PodStatus{}
	})
	for _, name := range names {
		if len(addrs) > 0 {
			if r, err := o.Store.Get(name); err == nil {
				p.printAddresses(r.Pod)
			}
		}
		if _, err := fmt.Fprintln(p.stdout, name); err != nil {
			return err
		}
	}
	return nil
}

// printLacking tells, once for all pods, why they got no network where nobody has
// asked for that.
func (p *peapod) printLacking(names []string, status func(int) pod.PodStatus) {
	for i := range names {
		if why := status(i).NetworkMessage; why != "" {
			have := "has"
			if len(names) > 1 {
				have = "have"
			}
			fmt.Fprintf(p.stderr, "peapod: %s %s no network but loopback: %s (--network none asks for that)\n", podsText(names), have, why)
			return
		}
	}
}

// printAddresses tells where the pod's ports are, as ps and port do.
func (p *peapod) printAddresses(spec *pod.Pod) {
	eachPort(spec, func(_, host string, _ int) {
		fmt.Fprintf(p.stderr, "peapod: pod %s listens at %s\n", spec.Metadata.Name, host)
	})
}

// printServices tells where services are.
func (p *peapod) printServices(list []*pod.ServiceRecord) {
	for _, r := range list {
		var own, host []string
		for _, l := range r.Listeners() {
			if l.Field == "spec.clusterIP" {
				own = append(own, l.Address)
			} else {
				host = append(host, strings.Replace(l.Address, "[::]:", "*:", 1))
			}
		}
		if len(own) == 0 {
			continue
		}
		text := strings.Join(own, ", ")
		if len(host) > 0 {
			text += ", on the host also at " + strings.Join(host, ", ")
		}
		fmt.Fprintf(p.stderr, "peapod: service %s is at %s\n", r.Service.Metadata.Name, text)
	}
}

// podForeground runs pods until they have ended or a signal stops them.
func (p *peapod) podForeground(ctx context.Context, m *pod.Manifest, o *pod.Options) error {
	// SIGPIPE is caught, so that a reader who leaves does not end this
	// process before the pod is cleared up.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	defer signal.Stop(signals)
	left := make(chan struct{}, 1)

	shown := newLabels(m.AllPods())
	out := newLineWriter(p.stdout, p.stderr, shown.list)
	o.Output = func(l pod.Line) {
		l.Container = shown.of(l.Pod, l.Container)
		if out.write(l) != nil {
			select {
			case left <- struct{}{}:
			default:
			}
		}
	}
	told := newNotes(out)
	defer told.close()
	o.Event = func(e pod.Event) {
		e.Container = shown.of(e.Pod, e.Container)
		told.tell(eventText(e, len(shown.list)))
	}
	o.Ready = func(r pod.Readiness) {
		probed := shown.probed(r.Pod, r.Container)
		r.Container = shown.of(r.Pod, r.Container)
		told.tell(readyText(r, probed))
	}
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan error, 1)
	var g *pod.Group
	go func() {
		var err error
		g, err = pod.StartManifest(starting, m, o)
		started <- err
	}()
	var stopped []unix.Signal
	for {
		select {
		case err := <-started:
			if len(stopped) > 0 && errors.Is(err, context.Canceled) {
				return &exitError{128 + int(stopped[0]), errors.New("interrupted while the pod was being started; nothing is left of it")}
			}
			if err != nil {
				return podError(err)
			}
			p.printServices(g.Services())
			p.printLacking(g.Names(), func(i int) pod.PodStatus { return g.Supervisors()[i].Status() })
			for _, s := range g.Supervisors() {
				p.log.Debug("the pod runs", "pod", s.Pod().Metadata.Name)
				p.printAddresses(s.Pod())
			}
			return p.podAttend(g, told, signals, left, len(stopped))
		case sig := <-signals:
			if sig != unix.SIGPIPE {
				stopped = append(stopped, sig.(unix.Signal))
				cancel()
			}
		}
	}
}

// podAttend waits for the end of pods that were asked to stop so often already.
func (p *peapod) podAttend(g *pod.Group, told *notes, signals <-chan os.Signal, left <-chan struct{}, asked int) error {
	stops, name := 0, podsText(g.Names())
	stop := func() {
		switch stops++; stops {
		case 1:
			told.tell(fmt.Sprintf("stopping %s (within %v; once more to kill)", name, g.GracePeriod()))
			g.Stop(-1)
		case 2:
			told.tell("killing " + name)
			fallthrough
		default:
			g.Stop(0)
		}
	}
	for range asked {
		stop()
	}
	for {
		select {
		case <-g.Done():
			for _, s := range g.Supervisors() {
				result := s.Wait()
				told.tell(resultText(s.Pod().Metadata.Name, result))
				p.log.Debug("the pod has ended", "pod", s.Pod().Metadata.Name, "status", result.ExitCode)
			}
			return exit(g.Wait().ExitCode)
		case sig := <-signals:
			if sig != unix.SIGPIPE {
				stop()
			}
		case <-left:
			if stops == 0 {
				stop()
			}
		}
	}
}
