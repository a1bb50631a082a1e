package main

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

func (p *peapod) killCommand() *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal to a container's process",
		ArgsUsage: "ID [SIGNAL]",
		Description: `SIGNAL is a name, with or without SIG, or a number; without one it is TERM.

Example: peapod kill web1 HUP`,
		Flags: []cli.Flag{
			{Name: "all", Short: "a", Usage: "to all processes of the container; fine where none is left"},
		},
		Action: p.kill,
	}
}

func (p *peapod) kill(c *cli.Context) error {
	if err := c.NeedArgs(1, 2); err != nil {
		return err
	}
	signal, all := unix.SIGTERM, c.Bool("all")
	if name := c.Args().Get(1); name != "" {
		var err error
		if signal, err = parseSignal(name); err != nil {
			return err
		}
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	everything := all
	if signal == unix.SIGKILL && !ownPidNamespace(container.Spec()) {
		// The kernel ends the rest of a pid namespace with its first
		// process; without one nobody would.
		everything = true
	}
	p.log.Debug("send a signal", "container", container.ID(), "signal", unix.SignalName(signal), "all", everything)
	err = container.Kill(signal, everything)
	if all && errors.Is(err, runtime.ErrNotRunning) {
		return nil // all that is left was told
	}
	return err
}

func ownPidNamespace(spec *specs.Spec) bool {
	if spec.Linux == nil {
		return false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.PIDNamespace {
			return ns.Path == ""
		}
	}
	return false
}

func (p *peapod) deleteCommand() *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "delete a container that is not running",
		ArgsUsage: "ID",
		Description: `A created container that was never started is ended.

Example: peapod delete web1`,
		Flags: []cli.Flag{
			{Name: "force", Short: "f", Usage: "end it first where it runs; fine where there is none"},
		},
		Action: p.delete,
	}
}

func (p *peapod) delete(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	force := c.Bool("force")
	container, err := p.load(c)
	if force && errors.Is(err, runtime.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	status := container.Status()
	if !force && (status == specs.StateRunning || status == runtime.StatePaused) {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s: kill it first, or give --force", container.ID(), status)
	}
	p.log.Debug("delete a container", "id", container.ID(), "status", status, "bundle", container.Bundle())
	return container.Delete(c.Context, true)
}
