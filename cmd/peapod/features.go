package main

import (
	"encoding/json"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) featuresCommand() *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "print as JSON what a config.json may ask for",
		Description: `The document is that of the OCI runtime specification ("Features"), which
engines read: hooks, mount options, namespaces, capabilities, seccomp and more.
docs/oci.md has the same for people.

Example: peapod features`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(0, 0); err != nil {
				return err
			}
			e := json.NewEncoder(p.stdout)
			e.SetIndent("", "\t")
			return e.Encode(runtime.Features())
		},
	}
}
