package main

import "github.com/peapod/peapod/internal/cli"

func (p *peapod) pauseCommand() *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "stop all processes of a container for a while",
		ArgsUsage: "ID",
		Description: `They stand still until "peapod resume", and are told nothing. Nothing can be
executed in a paused container; it can be killed, deleted and updated.

Example: peapod pause web1 && peapod resume web1`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			container, err := p.load(c)
			if err != nil {
				return err
			}
			p.log.Debug("pause the container", "id", container.ID())
			return container.Pause(c.Context)
		},
	}
}

func (p *peapod) resumeCommand() *cli.Command {
	return &cli.Command{
		Name:        "resume",
		Usage:       "let the processes of a paused container go on",
		ArgsUsage:   "ID",
		Description: "Example: peapod resume web1",
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			container, err := p.load(c)
			if err != nil {
				return err
			}
			p.log.Debug("resume the container", "id", container.ID())
			return container.Resume()
		},
	}
}
