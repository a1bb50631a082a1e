package main

import (
	"errors"
	"fmt"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) podRmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove pods that have ended",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `Their logs and emptyDir volumes go too. What a supervisor that was killed
has left is cleared up. With --file they are those that a file describes. Those that
run are left alone without --force, which kills them at once, or with --time after
they have been asked to end.

Example: peapod pod rm -f hello`,
		Flags: []cli.Flag{
			podFileFlag, allFlag,
			{Name: "force", Short: "f", Usage: "end those that run; fine where there is none"},
			graceFlag,
		},
		Action: p.podRm,
	}
}

func (p *peapod) podRm(c *cli.Context) error {
	grace, err := span(c, "time")
	force := c.Bool("force")
	switch {
	case err != nil:
		return err
	case grace >= 0 && !force:
		return errors.New("pod rm: --time is for pods that run: give --force too")
	}
	names, err := p.podNames(c)
	none := errors.Is(err, pod.ErrNotExist) || errors.Is(err, pod.ErrNoDeployment)
	if err != nil && !(none && force) {
		return podError(err)
	}
	return eachPodTogether(names, func(name string) error {
		if grace >= 0 {
			if err := p.stopPod(c.Context, name, grace); err != nil && !errors.Is(err, pod.ErrNotRunning) && !errors.Is(err, pod.ErrNotExist) {
				return err
			}
		}
		err := p.store().Remove(c.Context, name, force)
		if errors.Is(err, pod.ErrRunning) && !force {
			return fmt.Errorf("pod %s: %w: stop it first, or force it (peapod pod rm -f %s)", name, pod.ErrRunning, name)
		}
		return err
	})
}
