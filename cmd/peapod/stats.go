package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

func (p *peapod) statsCommand() *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "show what pods and containers use now",
		ArgsUsage: "[POD|ID...]",
		Description: `Of all that run, or of those named; a pod is the sum of its containers. CPU% is
of one core, and behind it is its limit; NET and DISK are bytes a second in and
out, read and written; HELD is how much of the time the CPU limit held processes
up; PRESSURE is how much of the last 10 seconds some of them waited for CPU,
memory and disk (cgroup v2). What is not measured is "-", in json null: all but
NET and PIDS of an ordinary user's container without a cgroup. Ctrl-C ends it.
json is one object a line.

Example: peapod stats --no-stream shop`,
		Flags: []cli.Flag{
			{Name: "no-stream", Usage: "print once, after one interval"},
			{Kind: cli.Float, Name: "interval", Short: "i", Value: "1", Usage: "look each `SECONDS`"},
			{Kind: cli.String, Name: "output", Short: "o", Value: "table", Usage: "`FORMAT` table or json", Choices: formats},
		},
		Action: p.stats,
	}
}

func (p *peapod) stats(c *cli.Context) error {
	l, err := p.newLive(c)
	if err != nil {
		return err
	}
	v := &statsView{live: l, names: c.Args()}
	found, err := v.find()
	if err != nil {
		return err
	}
	if len(found) == 0 && !v.json {
		fmt.Fprintln(p.stderr, "peapod: nothing runs")
		return nil
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	v.open()
	defer v.close()
	return v.run(ctx)
}

// statsView looks and shows, again and again.
type statsView struct {
	*live
	names  []string
	before map[string]sample // by id
}

// consumer is a pod with its containers, or a container alone.
type consumer struct {
	name       string
	pod        bool
	containers []*runtime.Container
}

// find lists what runs and was asked for. A name that nothing has is an error.
func (v *statsView) find() ([]consumer, error) {
	records, err := v.p.store().List()
	if err != nil {
		return nil, err
	}
	containers, err := v.p.runtime().List()
	if err != nil {
		return nil, err
	}
	var list []consumer
	known := map[string]bool{}
	for _, r := range records {
		known[r.Pod.Metadata.Name] = true
		if c := podConsumer(r, containers); v.wants(c.name) && len(c.containers) > 0 {
			list = append(list, c)
		}
	}
	for _, c := range containers {
		known[c.ID()] = true
		of := func(r *pod.Record) bool { return containerOf(r, c.ID()) }
		if running(c) && v.wants(c.ID()) && (len(v.names) > 0 || !slices.ContainsFunc(records, of)) {
			list = append(list, consumer{name: c.ID(), containers: []*runtime.Container{c}})
		}
	}
	for _, name := range v.names {
		if !known[name] {
			return nil, fmt.Errorf("%s: there is no such pod or container (peapod pod ps and peapod list show them)", name)
		}
	}
	return list, nil
}

func (v *statsView) wants(name string) bool {
	return len(v.names) == 0 || slices.Contains(v.names, name)
}

func running(c *runtime.Container) bool {
	s := c.Status()
	return s != specs.StateStopped && s != specs.StateCreating
}

func containerOf(r *pod.Record, id string) bool {
	return slices.ContainsFunc(r.Status.ContainerStatuses, func(s pod.ContainerStatus) bool { return s.ContainerID == id })
}

func podConsumer(r *pod.Record, containers []*runtime.Container) consumer {
	c := consumer{name: r.Pod.Metadata.Name, pod: true}
	for _, container := range containers {
		if containerOf(r, container.ID()) && running(container) {
			c.containers = append(c.containers, container)
		}
	}
	return c
}

func (v *statsView) run(ctx context.Context) error {
	ticker := time.NewTicker(v.interval)
	defer ticker.Stop()
	for first := true; ; first = false {
		found, err := v.find()
		if err != nil && first {
			return err
		}
		list := v.look(found)
		if !first || v.screen != nil {
			if err := v.showUsage(list); err != nil {
				return err
			}
			if v.once {
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

func (v *statsView) showUsage(list []usage) error {
	view := struct {
		Time  time.Time `json:"time"`
		Items []usage   `json:"items"`
	}{time.Now().UTC(), list}
	return v.show(view, func() []string { return usageLines(list) })
}

// memoryOf is what a pod uses, and what it may: 12M/64M.
func (p *peapod) memoryOf(r *pod.Record) string {
	var all usage
	for _, s := range r.Status.ContainerStatuses {
		if s.PID == 0 {
			continue
		}
		c, err := p.runtime().Load(s.ContainerID)
		if err != nil {
			continue
		}
		if s, err := takeSample(c); err == nil {
			all.add(s.usage(nil))
		} else if !errors.Is(err, runtime.ErrNotRunning) {
			return "-"
		}
	}
	if all.Memory == 0 { // none runs
		return "-"
	}
	return all.memory()
}
