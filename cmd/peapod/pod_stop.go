package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) podStopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "stop pods",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `The containers get SIGTERM, and SIGKILL after a while. The pods stay in the
list until they are removed. What containers end with once they are being
stopped is no failure: a pod that did well until then has the exit status 0. Several
pods are stopped at the same time. One that has ended already stays as it is.
With --file they are those that a file describes. On a terminal it tells what it
waits for.

Example: peapod pod stop -t 5 hello`,
		Flags: []cli.Flag{
			podFileFlag, allFlag, graceFlag,
		},
		Action: p.podStop,
	}
}

func (p *peapod) podStop(c *cli.Context) error {
	grace, err := span(c, "time")
	if err != nil {
		return err
	}
	names, err := p.podNames(c)
	if err != nil {
		return podError(err)
	}
	return eachPodTogether(names, func(name string) error {
		err := p.stopPod(c.Context, name, grace)
		if errors.Is(err, pod.ErrNotRunning) {
			if !c.Bool("all") {
				fmt.Fprintf(p.stderr, "peapod: pod %s has ended already\n", name)
			}
			return nil
		}
		return err
	})
}

// stopPod stops one pod and waits for its end.
func (p *peapod) stopPod(ctx context.Context, name string, grace time.Duration) error {
	defer p.explainWait(name, grace)()
	p.log.Debug("stop a pod", "pod", name, "grace", grace)
	return p.store().Stop(ctx, name, grace)
}

func (p *peapod) podWaitCommand() *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait for a pod's end",
		ArgsUsage: "POD",
		Description: `The exit status is the pod's: that of the first container that failed, or 0
when none did before the pod was stopped (peapod pod stop).

Example: peapod pod wait hello && echo done`,
		Flags: []cli.Flag{{Kind: cli.String, Name: "timeout", Usage: "give up after `DURATION`: 90s, 5m, or seconds"}},
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			name, err := p.onePod(c)
			if err != nil {
				return podError(err)
			}
			timeout, err := span(c, "timeout")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(c.Context)
			if timeout >= 0 {
				ctx, cancel = context.WithTimeout(c.Context, timeout)
			}
			defer cancel()
			code, err := p.store().Wait(ctx, name)
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("wait for pod %s: it has not ended after %v", name, timeout)
			}
			if err != nil {
				return podError(err)
			}
			return exit(code)
		},
	}
}
