package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

func (p *peapod) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "print what a container uses, and its lack of memory, as JSON",
		ArgsUsage: "ID",
		Description: `Each line is an object, {"type":"stats",…} once in an interval or
{"type":"oom",…} when the memory limit was met. It ends with the container.
"peapod stats" has tables.

Example: peapod events --stats web1`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "interval", Value: "5s", Usage: "print the statistics each `DURATION`, such as 500ms"},
			{Name: "stats", Usage: "print the statistics once"},
		},
		Action: p.events,
	}
}

// event is a line of runc's.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

// eventStats are a group's statistics with what runc has beside them.
type eventStats struct {
	*cgroups.Stats
	IntelRdt          struct{}      `json:"intel_rdt"`
	NetworkInterfaces []networkLoad `json:"network_interfaces"`
}

func (p *peapod) events(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	interval, err := time.ParseDuration(c.String("interval"))
	if err != nil || interval <= 0 {
		return fmt.Errorf("--interval %q: give a duration such as 5s or 500ms", c.String("interval"))
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	if status := container.Status(); status == specs.StateStopped || status == specs.StateCreating {
		return fmt.Errorf("container %s: %w", container.ID(), runtime.ErrNotRunning)
	}
	e := &eventPrinter{json.NewEncoder(p.stdout), container}
	if c.Bool("stats") {
		return e.stats()
	}
	ctx, stop := signal.NotifyContext(c.Context, unix.SIGINT, unix.SIGTERM)
	defer stop()
	return e.follow(ctx, interval)
}

type eventPrinter struct {
	*json.Encoder
	container *runtime.Container
}

func (e *eventPrinter) stats() error {
	s, err := e.container.Stats()
	if err != nil {
		return err
	}
	return e.Encode(event{"stats", e.container.ID(), eventStats{Stats: s, NetworkInterfaces: networkOf(e.container.Pid())}})
}

// follow prints until the container's process or ctx ends.
func (e *eventPrinter) follow(ctx context.Context, interval time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	oom, err := e.watch(ctx)
	if err != nil {
		return err
	}
	following := oom
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.container.Wait(ctx)
	}()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			stop()
			for range oom { // what is behind
				if err := e.Encode(event{Type: "oom", ID: e.container.ID()}); err != nil {
					return err
				}
			}
			return nil
		case _, ok := <-following:
			if !ok {
				following = nil // closed
				continue
			}
			if err := e.Encode(event{Type: "oom", ID: e.container.ID()}); err != nil {
				return err
			}
		case <-ticker.C:
			if err := e.stats(); err != nil && !errors.Is(err, runtime.ErrNotRunning) && !errors.Is(err, cgroups.ErrNotExist) {
				return err
			}
		}
	}
}

// watch sends for each lack of memory, and closes the channel when ctx or the
// group ends. Without a memory controller nothing comes.
func (e *eventPrinter) watch(ctx context.Context) (<-chan struct{}, error) {
	w, err := e.container.WatchOOM()
	if errors.Is(err, cgroups.ErrNoController) {
		none := make(chan struct{})
		close(none)
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	before, err := e.container.OOM()
	if err != nil {
		w.Close()
		return nil, err
	}
	found := make(chan struct{}, 1024)
	go func() {
		defer close(found)
		defer w.Close()
		for last := before; ; {
			o, more, err := w.Next(ctx)
			if err != nil {
				o, _ = e.container.OOM() // what came together with the end
				more = false
			}
			if o.Kills > last.Kills || o.Stuck && !last.Stuck {
				found <- struct{}{}
			}
			if last = o; !more {
				return
			}
		}
	}()
	return found, nil
}
