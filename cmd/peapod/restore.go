package main

import (
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "make a container anew from its saved processes, and wait for it",
		ArgsUsage: "ID",
		Description: `The processes go on where "peapod checkpoint" saved them. The bundle is the
container's, with the root as it was then. Options that the processes were saved
with have to be given again. Signals and the exit status are as with "peapod run".

Example: peapod restore --bundle ./web --image-path /var/tmp/web1 --detach web1`,
		Flags: append([]cli.Flag{
			{Kind: cli.String, Name: "bundle", Short: "b", Usage: "the `DIR` of the bundle", Value: ".", DefaultText: "the working directory"},
			{Name: "detach", Short: "d", Usage: "do not wait"},
			{Kind: cli.String, Name: "console-socket", Usage: "send the terminal's master over the unix socket `PATH`"},
			{Kind: cli.String, Name: "pidfd-socket", Usage: "send a pidfd of the process over the unix socket `PATH`"},
			{Kind: cli.String, Name: "pid-file", Usage: "write the process's pid to `FILE`"},
			{Kind: cli.String, Name: "lsm-profile", Usage: "the security profile `TYPE:NAME` in place of the saved one"},
			{Kind: cli.String, Name: "lsm-mount-context", Usage: "the `CONTEXT` of mounts in place of the saved one"},
			{Name: "no-subreaper", Hidden: true},                                                        // nothing is reaped but the container's process
			{Name: "no-pivot", Hidden: true},                                                            // criu changes the root
			{Name: "no-new-keyring", Hidden: true}, {Kind: cli.Int, Name: "preserve-fds", Hidden: true}, // as the images have it
		}, criuFlags()...),
		Action: p.restore,
	}
}

func (p *peapod) restore(c *cli.Context) error {
	var signals *signals
	detach := c.Bool("detach")
	if !detach {
		signals = catch()
	}
	create, err := p.createOptions(c)
	if err != nil {
		return err
	}
	o := &runtime.RestoreOptions{Container: *create, LSMProfile: c.String("lsm-profile"), LSMMountContext: c.String("lsm-mount-context")}
	if o.CRIU, err = criuOptions(c); err != nil {
		return err
	}
	io, err := p.openStreams(c, o.Container.Spec.Process, detach)
	if err != nil {
		return err
	}
	defer io.close()
	io.create(&o.Container)
	container, err := p.runtime().Restore(c.Context, c.Args().First(), o)
	if err != nil || detach {
		return err
	}
	return p.untilEnd(c, container, io, signals, nil, false)
}
