package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) podApplyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "bring what runs in line with a changed file",
		ArgsUsage: "FILE|-",
		Description: `What has not changed goes on as it is. A Deployment's pods are replaced as its
strategy says, as by pod restart; a Pod is stopped and runs anew, with fresh volumes;
a Service changes in place and keeps its connections; what is new is started. What
the file does not have any more is told, and stays without --prune. The command
returns when all that has changed is ready. A file that is wrong changes nothing.
The options of pod run hold on. Where nothing of the file runs it is started, as by
pod run --detach.

Example: peapod pod apply shop.json --prune`,
		Flags: []cli.Flag{
			fileFlag,
			{Name: "prune", Usage: "remove what the file does not have any more"},
			graceFlag, timeoutFlag,
		},
		Action: p.podApply,
	}
}

func (p *peapod) podApply(c *cli.Context) error {
	file, err := fileArgument(c)
	if err != nil {
		return err
	}
	file, data, err := p.readSpec(file)
	if err != nil {
		return err
	}
	m, err := pod.ParseManifest(file, data)
	if err != nil {
		return podError(err)
	}
	return p.change(c, func(ctx context.Context, w pod.Waiting) error {
		list, err := p.store().Apply(ctx, &pod.Application{File: file, Data: data, Prune: c.Bool("prune"), Waiting: w})
		if errors.Is(err, pod.ErrNotRunning) {
			return p.podApplyFirst(ctx, m, file, data)
		}
		p.printWarnings(m)
		for _, a := range list {
			fmt.Fprintf(p.stdout, "%s/%s %s\n", a.Kind, a.Name, a.Action)
		}
		return err
	})
}

// podApplyFirst starts what does not run yet.
func (p *peapod) podApplyFirst(ctx context.Context, m *pod.Manifest, file string, data []byte) error {
	o := pod.Options{Store: *p.store()}
	var err error
	if o.Builtin, err = os.Executable(); err != nil {
		return err
	}
	if err := p.store().MakeWay(ctx, m, &o); err != nil {
		return err
	}
	return p.podDetach(ctx, file, data, o)
}

func (p *peapod) podScaleCommand() *cli.Command {
	return &cli.Command{
		Name:      "scale",
		Usage:     "change how many pods a Deployment has",
		ArgsUsage: "deployment/NAME",
		Description: `It returns when all of them are ready. The next pod apply makes it what the file
says again.

Example: peapod pod scale deployment/web --replicas 3`,
		Flags: []cli.Flag{
			{Kind: cli.Int, Name: "replicas", Usage: "the `NUMBER` of pods"},
			graceFlag, timeoutFlag,
		},
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			name, deployment, err := pod.SplitTarget(c.Args().First())
			switch {
			case err != nil:
				return err
			case !deployment && strings.Contains(c.Args().First(), "/"):
				return fmt.Errorf("pod scale: %s is a pod; give a Deployment, as deployment/NAME", c.Args().First())
			case !c.IsSet("replicas"):
				return errors.New("pod scale: give --replicas")
			case c.Int("replicas") < 0:
				return fmt.Errorf("pod scale: --replicas %d: give 0 or more", c.Int("replicas"))
			}
			return p.change(c, func(ctx context.Context, w pod.Waiting) error {
				return p.store().Scale(ctx, name, c.Int("replicas"), w)
			})
		},
	}
}
