package main

import (
	"context"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) createCommand() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "create a container that waits to be started",
		ArgsUsage: "ID",
		Description: `The bundle is a directory with a config.json and an unpacked root. The
process gets the standard input, output and error of this command.

Example: peapod create --bundle ./web web1 && peapod start web1`,
		Flags:  bundleFlags(),
		Action: p.create,
	}
}

// bundleFlags are those of create and run.
func bundleFlags() []cli.Flag {
	return append([]cli.Flag{
		{Kind: cli.String, Name: "bundle", Short: "b", Usage: "the `DIR` of the bundle", Value: ".", DefaultText: "the working directory"},
		{Name: "no-pivot", Usage: "use chroot in place of pivot_root (a host whose root is a ramdisk)"},
		{Name: "no-new-keyring", Usage: "keep the caller's session keyring"},
	}, processFlags()...)
}

// processFlags are those of create, run and exec.
func processFlags() []cli.Flag {
	return []cli.Flag{
		{Kind: cli.String, Name: "console-socket", Usage: "send the terminal's master over the unix socket `PATH`"},
		{Kind: cli.String, Name: "pidfd-socket", Usage: "send a pidfd of the process over the unix socket `PATH`"},
		{Kind: cli.String, Name: "pid-file", Usage: "write the process's pid to `FILE`"},
		{Kind: cli.Int, Name: "preserve-fds", Usage: "pass `N` more descriptors, from 3 (or behind $LISTEN_FDS) on"},
	}
}

func (p *peapod) create(c *cli.Context) error {
	o, err := p.createOptions(c)
	if err != nil {
		return err
	}
	io, err := p.openStreams(c, o.Spec.Process, true)
	if err != nil {
		return err
	}
	defer io.close()
	io.create(o)
	_, err = p.runtime().Create(c.Context, c.Args().First(), o)
	return err
}

// createOptions are what the flags of create and run say, but for the streams.
func (p *peapod) createOptions(c *cli.Context) (*runtime.CreateOptions, error) {
	if err := c.NeedArgs(1, 1); err != nil {
		return nil, err
	}
	if err := checkID(c.Args().First()); err != nil {
		return nil, err
	}
	spec, err := p.loadBundle(c.String("bundle"))
	if err != nil {
		return nil, err
	}
	if err := p.groupPath(spec, c.Args().First()); err != nil {
		return nil, err
	}
	p.log.Debug("make a container", "id", c.Args().First(), "bundle", c.String("bundle"), "state", p.root)
	if spec.Process != nil {
		p.log.Debug("its process", "command", spec.Process.Args, "cwd", spec.Process.Cwd, "terminal", spec.Process.Terminal)
	}
	return &runtime.CreateOptions{
		Bundle:       c.String("bundle"),
		Spec:         spec,
		PidFile:      c.String("pid-file"),
		NoPivot:      c.Bool("no-pivot"),
		NoNewKeyring: c.Bool("no-new-keyring"),
		Notify:       serviceSocket() != "",
	}, nil
}

func (p *peapod) startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start a created container",
		ArgsUsage: "ID",
		Description: `It returns when the container's command is running; as a service of systemd's
(NOTIFY_SOCKET), when that has said that it is ready.

Example: peapod create --bundle ./web web1 && peapod start web1`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			container, err := p.load(c)
			if err != nil {
				return err
			}
			p.log.Debug("start the container", "id", container.ID(), "bundle", container.Bundle())
			notifier, err := p.notifications(container, true)
			if err != nil {
				return err
			}
			if err := container.Start(context.WithoutCancel(c.Context)); err != nil {
				notifier.close()
				return err
			}
			return notifier.awaitReady(c.Context, container)
		},
	}
}
