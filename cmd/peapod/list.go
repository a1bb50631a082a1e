package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

// formats are those of list and ps.
var formats = []string{"table", "json"}

// containerState is how runc prints a container.
type containerState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func stateOf(c *runtime.Container) containerState {
	// Once: it may end between two looks.
	s := c.State()
	return containerState{
		Version:     s.Version,
		ID:          s.ID,
		Pid:         s.Pid,
		Status:      string(s.Status),
		Bundle:      s.Bundle,
		Rootfs:      c.Rootfs(),
		Created:     c.Created(),
		Annotations: s.Annotations,
		Owner:       c.Owner(),
	}
}

func (p *peapod) stateCommand() *cli.Command {
	return &cli.Command{
		Name:      "state",
		Usage:     "print a container's state as JSON",
		ArgsUsage: "ID",
		Description: `The status is creating, created, running, paused or stopped; the pid of a stopped
container is 0.

Example: peapod state web1`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
				return err
			}
			container, err := p.load(c)
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(stateOf(container), "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, string(data))
			return err
		},
	}
}

func (p *peapod) listCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list the containers",
		Description: "Example: peapod list --format json",
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "format", Short: "f", Aliases: []string{"output", "o"}, Value: "table", Usage: "`FORMAT` table or json", Choices: formats},
			{Name: "quiet", Short: "q", Usage: "print ids only"},
		},
		Action: p.list,
	}
}

func (p *peapod) list(c *cli.Context) error {
	if err := c.NeedArgs(0, 0); err != nil {
		return err
	}
	format := c.String("format")
	if format != "table" && format != "json" {
		return fmt.Errorf("--format %q: give table or json", format)
	}
	containers, err := p.runtime().List()
	if err != nil {
		return err
	}
	if c.Bool("quiet") {
		for _, container := range containers {
			fmt.Fprintln(p.stdout, container.ID())
		}
		return nil
	}
	states := []containerState{}
	for _, container := range containers {
		states = append(states, stateOf(container))
	}
	if format == "json" {
		return json.NewEncoder(p.stdout).Encode(states)
	}
	w := tabwriter.NewWriter(p.stdout, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
	for _, s := range states {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return w.Flush()
}
