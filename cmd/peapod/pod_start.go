package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podStartCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start pods again that have ended",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `They have the spec and the options that they were run with, or those of the
last pod apply, and keep their volumes and logs. One process supervises the pods of a
file: where it has ended, all of them that have not been removed are started. The names
of those that were started are printed. One that runs stays as it is.

Example: peapod pod stop hello && peapod pod start hello`,
		Flags:  []cli.Flag{podFileFlag, allFlag, timeoutFlag},
		Action: p.podStart,
	}
}

func (p *peapod) podStart(c *cli.Context) error {
	w, err := p.waiting(c)
	if err != nil {
		return err
	}
	names, err := p.podNames(c)
	if err != nil {
		return podError(err)
	}
	var ended []string
	for _, name := range names {
		r, err := p.store().Get(name)
		switch {
		case err != nil:
			return podError(err)
		case r.Status.Phase == pod.PodSucceeded || r.Status.Phase == pod.PodFailed:
			ended = append(ended, name)
		case !c.Bool("all"):
			fmt.Fprintf(p.stderr, "peapod: pod %s runs already\n", name)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	builtin, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	started, err := p.store().Start(ctx, ended, builtin, w, builtin, "pod", "supervise")
	for _, name := range started {
		if r, err := p.store().Get(name); err == nil {
			p.printAddresses(r.Pod)
		}
		fmt.Fprintln(p.stdout, name)
	}
	if errors.Is(err, pod.ErrRunning) {
		return podError(fmt.Errorf("%w: it has just been started, or is about to end", err))
	}
	return podError(err)
}
