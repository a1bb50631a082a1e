package main

import (
	"context"
	"errors"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

func (p *peapod) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create and start a container, and wait for it",
		ArgsUsage: "ID",
		Description: `Signals are passed on to the container's process. The exit status is that
of the process, 128 and the number of the signal that ended it, or 1 when the
container could not be run.

Where systemd waits for word of a service (Type=notify), what the process says
by sd_notify(3) is passed on; --detach then returns when it is ready.

Example: peapod run --bundle ./web web1`,
		Flags: append([]cli.Flag{
			{Name: "detach", Short: "d", Usage: "do not wait"},
			{Name: "keep", Usage: "do not delete the container when it has ended"},
			{Name: "no-subreaper", Hidden: true}, // nothing is reaped but the container's process
		}, bundleFlags()...),
		Action: p.run,
	}
}

func (p *peapod) run(c *cli.Context) error {
	var signals *signals
	detach := c.Bool("detach")
	if !detach {
		signals = catch()
	}
	rt := &p.expected
	rt.Root, rt.Log = p.root, p.log
	o, err := p.createOptions(c)
	if err != nil {
		return err
	}
	io, err := p.openStreams(c, o.Spec.Process, detach)
	if err != nil {
		return err
	}
	defer io.close()
	io.create(o)
	container, err := rt.Run(c.Context, c.Args().First(), o)
	if err != nil {
		return err
	}
	notifier, err := p.notifications(container, detach)
	if err != nil {
		return errors.Join(err, container.Delete(context.WithoutCancel(c.Context), true))
	}
	if detach {
		return notifier.awaitReady(c.Context, container)
	}
	return p.untilEnd(c, container, io, signals, notifier, c.Bool("keep"))
}

// untilEnd waits for a container in the foreground, deletes it unless it is to be
// kept, and returns its status.
func (p *peapod) untilEnd(c *cli.Context, container *runtime.Container, io *streams, signals *signals, notifier *notifier, keep bool) error {
	signals.wait()
	status, err := p.attend(io, signals, attended{
		wait:   container.Wait,
		signal: func(s unix.Signal) error { return container.Kill(s, false) },
	})
	notifier.close()
	if !keep {
		if e := container.Delete(context.WithoutCancel(c.Context), true); e != nil {
			p.log.Warn("the container is not deleted", "error", e)
		}
	}
	if err != nil {
		return err
	}
	return exit(status.ExitCode())
}

// attended is a process that somebody in the foreground waits for.
type attended struct {
	wait   func(context.Context) (runtime.ExitStatus, error)
	signal func(unix.Signal) error
}

// attend passes signals on until the process has ended, and brings its terminal
// to an end.
func (p *peapod) attend(io *streams, signals *signals, a attended) (runtime.ExitStatus, error) {
	if err := io.attach(); err != nil {
		a.signal(unix.SIGKILL)
		a.wait(context.Background())
		return runtime.ExitStatus{}, err
	}
	go signals.forward(func(s unix.Signal) {
		p.log.Debug("pass on a signal", "signal", unix.SignalName(s))
		if s == unix.SIGWINCH && io.terminal != nil {
			io.terminal.resize()
			return
		}
		if err := a.signal(s); err != nil && !errors.Is(err, runtime.ErrNotRunning) {
			p.log.Warn("the signal is not passed on", "signal", unix.SignalName(s), "error", err)
		}
	})
	status, err := a.wait(context.Background())
	p.log.Debug("the process has ended", "status", status.ExitCode())
	io.detach()
	return status, err
}
