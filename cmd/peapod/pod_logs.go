package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podLogsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what a pod's containers wrote",
		ArgsUsage: "POD|deployment/NAME",
		Description: `Without -c each line stands behind the name of its container, where there
are several. The log of a container goes on when it is started again; --previous
prints what the run before the last restart wrote. --follow ends with the pod.

Example: peapod pod logs -f --tail 20 -c web hello`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "container", Short: "c", Usage: "of this `CONTAINER` only"},
			{Name: "follow", Short: "f", Usage: "go on until the pod has ended"},
			{Kind: cli.Int, Name: "tail", Short: "n", Value: "-1", DefaultText: "all", Usage: "the last `N` lines of each container"},
			{Kind: cli.String, Name: "since", Aliases: []string{"since-time"}, Usage: "what was written in the last `TIME` (10s, 5m), or since one (2026-03-01T12:00:00Z)"},
			{Name: "previous", Short: "p", Usage: "of the run before the last restart"},
			{Name: "timestamps", Short: "t", Usage: "begin each line with its time"},
			{Name: "all-containers", Hidden: true}, {Name: "prefix", Hidden: true}, // kubectl's, and so here anyway
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
	name, err := p.onePod(c)
	if err != nil {
		return podError(err)
	}
	since, err := parseSince(c.String("since"), time.Now())
	if err != nil {
		return err
	}
	if c.Bool("previous") && c.Bool("follow") {
		return errors.New("pod logs: --previous is about a run that has ended: leave --follow out")
	}
	store := p.store()
	r, err := store.Get(name)
	if err != nil {
		return podError(err)
	}
	o := pod.LogOptions{Container: c.String("container"), Tail: c.Int("tail"), Follow: c.Bool("follow"), Since: since, Previous: c.Bool("previous")}
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

// parseSince takes a duration, a number of seconds, or a time; "" is any time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return now.Add(-time.Duration(seconds * float64(time.Second))), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("pod logs: --since %q: give a duration such as 10s or 5m, or a time such as %s", text, now.UTC().Format(time.RFC3339))
}
