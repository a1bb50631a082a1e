package main

import (
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
With --file they are those that a file describes.

Example: peapod pod stop -t 5 hello`,
		Flags: []cli.Flag{
			podFileFlag,
			{Kind: cli.Float, Name: "time", Short: "t", Value: "-1", DefaultText: "terminationGracePeriodSeconds of the spec", Usage: "kill after `SECONDS`"},
		},
		Action: p.podStop,
	}
}

func (p *peapod) podStop(c *cli.Context) error {
	grace := time.Duration(-1)
	if seconds := c.Float("time"); c.IsSet("time") {
		if !(seconds >= 0 && seconds <= maxGrace) { // NaN is neither
			return fmt.Errorf("pod stop: --time %v: give seconds, 0 or more", seconds)
		}
		grace = time.Duration(seconds * float64(time.Second))
	}
	names, err := p.podNames(c)
	if err != nil {
		return podError(err)
	}
	return eachPodTogether(names, func(name string) error {
		defer p.explainWait(name, grace)()
		p.log.Debug("stop a pod", "pod", name, "seconds", c.Float("time"))
		err := p.store().Stop(c.Context, name, grace)
		if errors.Is(err, pod.ErrNotRunning) {
			fmt.Fprintf(p.stderr, "peapod: pod %s has ended already\n", name)
			return nil
		}
		return err
	})
}

const (
	maxGrace  = 1e9             // seconds
	quietStop = 2 * time.Second // after which a user wonders
)

// explainWait tells a user at a terminal what pod stop waits for, when that
// takes long. What it returns is to be called when it has come.
func (p *peapod) explainWait(name string, grace time.Duration) (done func()) {
	if !isTerminal(p.stderr) {
		return func() {}
	}
	timer := time.AfterFunc(quietStop, func() {
		if grace < 0 {
			r, err := p.store().Get(name)
			if err != nil {
				return
			}
			grace = r.Pod.GracePeriod()
		}
		fmt.Fprintf(p.stderr, "peapod: waiting up to %v for pod %s (peapod pod stop -t 0 %s kills it)\n", grace, name, name)
	})
	return func() { timer.Stop() }
}

func (p *peapod) podRmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove pods that have ended",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `Their logs and emptyDir volumes go too. What a supervisor that was killed
has left is cleared up. With --file they are those that a file describes.

Example: peapod pod rm -f hello`,
		Flags: []cli.Flag{
			podFileFlag,
			{Name: "force", Short: "f", Usage: "end those that run; fine where there is none"},
		},
		Action: func(c *cli.Context) error {
			names, err := p.podNames(c)
			none := errors.Is(err, pod.ErrNotExist) || errors.Is(err, pod.ErrNoDeployment)
			if err != nil && !(none && c.Bool("force")) {
				return podError(err)
			}
			return eachPod(names, func(name string) error {
				err := p.store().Remove(c.Context, name, c.Bool("force"))
				if errors.Is(err, pod.ErrRunning) && !c.Bool("force") {
					return fmt.Errorf("pod %s: %w: stop it first, or force it (peapod pod rm -f %s)", name, pod.ErrRunning, name)
				}
				return err
			})
		},
	}
}

func (p *peapod) podWaitCommand() *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait for a pod's end",
		ArgsUsage: "POD",
		Description: `The exit status is the pod's: that of the first container that failed, or 0
when none did before the pod was stopped (peapod pod stop).

Example: peapod pod wait hello && echo done`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
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
