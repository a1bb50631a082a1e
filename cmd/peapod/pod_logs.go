package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podLogsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what a pod's containers wrote",
		ArgsUsage: "POD",
		Description: `Without -c each line stands behind the name of its container, where there
are several.

Example: peapod pod logs -f --tail 20 -c web hello`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "container", Short: "c", Usage: "of this `CONTAINER` only"},
			{Name: "follow", Short: "f", Usage: "go on until the pod has ended"},
			{Kind: cli.Int, Name: "tail", Short: "n", Value: "-1", DefaultText: "all", Usage: "the last `N` lines of each container"},
			{Name: "timestamps", Usage: "begin each line with its time"},
		},
		Action: p.podLogs,
	}
}

func (p *peapod) podLogs(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	if tail := c.Int("tail"); c.IsSet("tail") && tail < 0 {
		return fmt.Errorf("pod logs: --tail %d: give a number of lines, 0 or more", tail)
	}
	store, name := p.store(), c.Args().First()
	r, err := store.Get(name)
	if err != nil {
		return podError(err)
	}
	o := pod.LogOptions{Container: c.String("container"), Tail: c.Int("tail"), Follow: c.Bool("follow")}
	var names []string
	if o.Container == "" && len(r.Pod.Spec.Containers) > 1 {
		for _, c := range r.Pod.Spec.Containers {
			names = append(names, c.Name)
		}
	}
	out := newLineWriter(p.stdout, p.stderr, names)
	out.times = c.Bool("timestamps")
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	ctx, left := context.WithCancelCause(ctx)
	defer left(nil)
	err = store.Logs(ctx, name, o, func(l pod.Line) {
		if err := out.write(l); err != nil {
			left(err)
		}
	})
	if err != nil && errors.Is(err, context.Canceled) {
		return nil // it was to end
	}
	return podError(err)
}
