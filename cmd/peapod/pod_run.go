package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a pod",
		ArgsUsage: "FILE|-",
		Description: `In the foreground each line that a container writes is printed behind its
name; Ctrl-C stops the pod, a second one kills it, and nothing is left. The
exit status is that of the first container that failed, and 0 when the pod was
stopped before; 127 where a command was not found, 126 where it could not be
executed. With --detach a supervisor of its own runs the pod, and this command
returns when all containers run.

Example: peapod pod run --name hi --env GREETING=hello examples/hello.json`,
		Flags: []cli.Flag{
			{Name: "detach", Short: "d", Usage: "return when it runs"},
			{Kind: cli.String, Name: "name", Usage: "call the pod `NAME`"},
			{Kind: cli.String, Name: "network", Usage: "connect the pod to `NETWORK`: none, bridge, auto, host or cni:NAME (default: none)"},
			{Kind: cli.Strings, Name: "env", Short: "e", Usage: "set `NAME=VALUE` in all containers; may be repeated"},
			{Kind: cli.Strings, Name: "arg", Usage: "append an argument: `CONTAINER=ARG`; may be repeated"},
		},
		Action: p.podRun,
	}
}

func (p *peapod) podRun(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	if c.IsSet("name") && c.String("name") == "" {
		return errors.New("pod run: --name: give a name, or leave the option out")
	}
	file, data, err := p.readSpec(c.Args().First())
	if err != nil {
		return err
	}
	p.log.Debug("run a pod", "spec", file, "name", c.String("name"), "detach", c.Bool("detach"), "root", p.root, "data", p.data)
	o := pod.Options{Store: *p.store(), Name: c.String("name"), Network: c.String("network")}
	if o.Args, err = parseArgs(c.Strings("arg")); err != nil {
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
	spec, err := pod.Parse(file, data)
	if err != nil {
		return podError(err)
	}
	return p.podForeground(c.Context, spec, &o)
}

// podDetach starts a supervisor and prints the pod's name.
func (p *peapod) podDetach(ctx context.Context, file string, data []byte, o pod.Options) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer stop()
	name, addrs, err := pod.Detach(ctx, &pod.Detached{File: file, Data: data, Options: o}, o.Builtin, "pod", "supervise")
	if err != nil {
		return err
	}
	if len(addrs) > 0 {
		if r, err := o.Store.Get(name); err == nil {
			p.printAddresses(r.Pod)
		}
	}
	_, err = fmt.Fprintln(p.stdout, name)
	return err
}

// printAddresses tells where the pod's ports are, as ps and port do.
func (p *peapod) printAddresses(spec *pod.Pod) {
	eachPort(spec, func(_, host string, _ int) {
		fmt.Fprintf(p.stderr, "peapod: pod %s listens at %s\n", spec.Metadata.Name, host)
	})
}

// podForeground runs a pod until it has ended or a signal stops it.
func (p *peapod) podForeground(ctx context.Context, spec *pod.Pod, o *pod.Options) error {
	// SIGPIPE is caught, so that a reader who leaves does not end this
	// process before the pod is cleared up.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	defer signal.Stop(signals)
	left := make(chan struct{}, 1)

	var names []string
	for _, c := range spec.Spec.Containers {
		names = append(names, c.Name)
		p.log.Debug("a container", "name", c.Name, "image", c.Image, "command", c.Command, "args", c.Args)
	}
	out := newLineWriter(p.stdout, p.stderr, names)
	o.Output = func(l pod.Line) {
		if out.write(l) != nil {
			select {
			case left <- struct{}{}:
			default:
			}
		}
	}
	told := newNotes(out)
	defer told.close()
	o.Event = func(e pod.Event) { told.tell(eventText(e, len(names))) }
	o.Ready = func(r pod.Readiness) { told.tell(readyText(spec, r)) }
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan error, 1)
	var s *pod.Supervisor
	go func() {
		var err error
		s, err = pod.Start(starting, spec, o)
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
			p.log.Debug("the pod runs", "pod", s.Pod().Metadata.Name)
			p.printAddresses(s.Pod())
			return p.podAttend(s, told, signals, left, len(stopped))
		case sig := <-signals:
			if sig != unix.SIGPIPE {
				stopped = append(stopped, sig.(unix.Signal))
				cancel()
			}
		}
	}
}

// podAttend waits for the end of a pod that was asked to stop so often already.
func (p *peapod) podAttend(s *pod.Supervisor, told *notes, signals <-chan os.Signal, left <-chan struct{}, asked int) error {
	stops, name := 0, s.Pod().Metadata.Name
	stop := func() {
		switch stops++; stops {
		case 1:
			grace := s.GracePeriod()
			told.tell(fmt.Sprintf("stopping pod %s (within %v; once more to kill it)", name, grace))
			s.Stop(grace)
		case 2:
			told.tell("killing pod " + name)
			fallthrough
		default:
			s.Stop(0)
		}
	}
	for range asked {
		stop()
	}
	for {
		select {
		case <-s.Done():
			result := s.Wait()
			told.tell(resultText(name, result))
			p.log.Debug("the pod has ended", "pod", name, "status", result.ExitCode)
			return exit(result.ExitCode)
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
