package main

import (
	"fmt"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "list the system calls that would set a container up",
		ArgsUsage: "[BUNDLE]",
		Description: `Each line is a step as strace(1) prints calls, behind its number; behind #
stands what it is for, and where the program goes on if not at the next line.
Nothing is made or opened, and no privilege is needed.

Example: peapod plan ./web`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "id", Value: "ID", Usage: "plan it for the container `ID`"},
			{Name: "no-pivot", Usage: "as for run"},
			{Name: "no-new-keyring", Usage: "as for run"},
		},
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(0, 1); err != nil {
				return err
			}
			bundle := "."
			if c.NArg() == 1 {
				bundle = c.Args().First()
			}
			spec, err := p.loadBundle(bundle)
			if err != nil {
				return err
			}
			program, err := p.runtime().Plan(c.String("id"), &runtime.CreateOptions{
				Bundle: bundle, Spec: spec, NoPivot: c.Bool("no-pivot"), NoNewKeyring: c.Bool("no-new-keyring"),
			})
			if err != nil {
				return fmt.Errorf("plan %s: %w", bundle, err)
			}
			return program.List(p.stdout)
		},
	}
}
