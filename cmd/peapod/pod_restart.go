package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podRestartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "restart pods, or a Deployment a few pods at a time",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `A pod leaves its services, is stopped as by pod stop, and starts again with
its volumes and logs. A Deployment's pods are replaced by new ones as its strategy
says: so many more may run meanwhile (maxSurge), so many fewer be ready
(maxUnavailable). The command returns when all is ready, and fails when something does
not become ready in time: a Deployment then stays as it is, with what has been
replaced and what has not. Interrupted, it leaves the rest to the supervisor.

Example: peapod pod restart deployment/web --timeout 2m`,
		Flags: []cli.Flag{podFileFlag, allFlag, graceFlag, timeoutFlag},
		Action: func(c *cli.Context) error {
			names, err := p.restartTargets(c)
			if err != nil || len(names) == 0 {
				return podError(err)
			}
			return p.change(c, func(ctx context.Context, w pod.Waiting) error {
				return p.store().Restart(ctx, names, w)
			})
		},
	}
}

// restartTargets are the pods and Deployments to be restarted: of the latter not each
// pod by itself.
func (p *peapod) restartTargets(c *cli.Context) (targets []string, err error) {
	if !c.Bool("all") && c.String("file") == "" {
		return c.Args(), c.NeedArgs(1, -1)
	}
	names, err := p.podNames(c)
	for _, name := range names {
		target := name
		if d := p.store().DeploymentOf(name); d != "" {
			target = "deployment/" + d
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, err
}

// change has supervisors change something, and shows on a terminal how it goes.
func (p *peapod) change(c *cli.Context, do func(context.Context, pod.Waiting) error) error {
	w, err := p.waiting(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	err = do(ctx, w)
	if errors.Is(err, context.Canceled) {
		return &exitError{128 + int(unix.SIGINT), err}
	}
	return podError(err)
}

func (p *peapod) progress() func(string) {
	if !isTerminal(p.stderr) {
		return nil
	}
	return func(text string) { fmt.Fprintf(p.stderr, "peapod: %s\n", text) }
}
