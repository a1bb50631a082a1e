package main

import (
	"time"

	"github.com/urfave/cli/v2"
)

func (p *peapod) podStopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "stop pods",
		ArgsUsage: "POD...",
		Description: `The containers get SIGTERM, and SIGKILL after a while. The pods stay in the
list until they are removed.

Example: peapod pod stop -t 5 hello`,
		Flags: []cli.Flag{
			&cli.Float64Flag{Name: "time", Aliases: []string{"t"}, Value: -1, DefaultText: "terminationGracePeriodSeconds of the spec", Usage: "kill after `SECONDS`"},
		},
		Action: func(c *cli.Context) error {
			grace := time.Duration(c.Float64("time") * float64(time.Second))
			return eachPod(c, func(name string) error { return p.store().Stop(c.Context, name, grace) })
		},
	}
}

func (p *peapod) podRmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove pods that have ended",
		ArgsUsage: "POD...",
		Description: `Their logs and emptyDir volumes go too. What a supervisor that was killed
has left is cleared up.

Example: peapod pod rm -f hello`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "end those that run; fine where there is none"},
		},
		Action: func(c *cli.Context) error {
			return eachPod(c, func(name string) error { return p.store().Remove(c.Context, name, c.Bool("force")) })
		},
	}
}

func (p *peapod) podWaitCommand() *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait for a pod's end",
		ArgsUsage: "POD",
		Description: `The exit status is the pod's: that of the first container that failed.

Example: peapod pod wait backup && echo done`,
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			code, err := p.store().Wait(c.Context, c.Args().First())
			if err != nil {
				return podError(err)
			}
			return exit(code)
		},
	}
}
