package main

import (
	"context"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) serviceTopCommand() *cli.Command {
	return &cli.Command{
		Name:      "top",
		Usage:     "show what goes to services and their endpoints now",
		ArgsUsage: "[SERVICE...]",
		Description: `All processes that forward are asked, once a second, and what they say is added
up. IN is to the endpoints, OUT from them; P50 and P99 are how long it took to
connect, of all connections so far. An endpoint that could not be reached is set
aside for a while. QUEUE counts clients that wait for an endpoint. UDP counts
clients as connections. Ctrl-C ends it. json is one object a line.

Example: peapod service top --no-stream web`,
		Flags: []cli.Flag{
			{Name: "no-stream", Usage: "print once, after one interval"},
			{Kind: cli.Float, Name: "interval", Short: "i", Value: "1", Usage: "ask each `SECONDS`"},
			{Kind: cli.String, Name: "output", Short: "o", Value: "table", Usage: "`FORMAT` table or json", Choices: formats},
		},
		Action: p.serviceTop,
	}
}

func (p *peapod) serviceTop(c *cli.Context) error {
	l, err := p.newLive(c)
	if err != nil {
		return err
	}
	services, err := p.findServices(c.Args())
	if err != nil {
		return err
	}
	for _, r := range services {
		if len(c.Args()) > 0 && len(r.Listeners()) == 0 {
			return fmt.Errorf("service %s: nothing is forwarded to it: clients connect to what its name stands for by themselves", r.Service.Metadata.Name)
		}
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	t := &top{live: l, names: c.Args()}
	if len(services) == 0 && !t.json {
		fmt.Fprintln(p.stderr, "peapod: "+noServices)
		return nil
	}
	t.open()
	defer t.close()
	return t.run(ctx)
}

// top asks and shows, again and again.
type top struct {
	*live
	names  []string
	before []pod.ProcessTraffic
	asked  time.Time
}

func (t *top) run(ctx context.Context) error {
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	for first := true; ; first = false {
		view, err := t.ask(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if !first || t.screen != nil {
			if err := t.showView(view); err != nil {
				return err
			}
			if t.once {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// ask returns the traffic now, and how it has changed since the last time.
func (t *top) ask(ctx context.Context) (*topView, error) {
	services, err := t.p.store().ListServices()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	list, missing := t.p.store().Traffic(ctx, t.names...)
	if list == nil && missing == nil {
		list = []pod.ProcessTraffic{}
	}
	v := newTopView(services, t.names, t.before, list, now.Sub(t.asked))
	v.Time = now.UTC()
	if missing != nil {
		v.Unanswered = strings.Split(missing.Error(), "\n")
	}
	t.before, t.asked = list, now
	return v, nil
}

func (t *top) showView(v *topView) error {
	return t.show(v, func() []string {
		lines := v.lines()
		for _, text := range v.Unanswered {
			lines = append(lines, "peapod: "+text)
		}
		return lines
	})
}
