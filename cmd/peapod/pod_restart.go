package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

var timeoutFlag = cli.Flag{Kind: cli.String, Name: "timeout", Usage: "give up after `DURATION` (90s, 5m)", DefaultText: "as the Deployment says"}

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
		Flags: []cli.Flag{timeoutFlag},
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, -1); err != nil {
				return err
			}
			return p.change(c, func(ctx context.Context, w pod.Waiting) error {
				return p.store().Restart(ctx, c.Args(), w)
			})
		},
	}
}

// change has supervisors change something, and shows on a terminal how it goes.
func (p *peapod) change(c *cli.Context, do func(context.Context, pod.Waiting) error) error {
	w := pod.Waiting{Progress: p.progress()}
	if text := c.String("timeout"); text != "" {
		var err error
		if w.Timeout, err = time.ParseDuration(text); err != nil || w.Timeout < 0 {
			return fmt.Errorf("--timeout %q: give a duration, such as 90s or 5m", text)
		}
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	err := do(ctx, w)
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
