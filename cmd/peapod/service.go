package main

import (
	"fmt"
	"slices"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/internal/nearest"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) serviceCommand() *cli.Command {
	return &cli.Command{
		Name:  "service",
		Usage: "look at the services of pods, and at what goes to them",
		Description: `A service is one address and name for several pods. It is there while the
process runs whose manifest has it (peapod pod run).

Example: peapod service ls && peapod service top`,
		Commands: []*cli.Command{p.serviceLsCommand(), p.serviceInspectCommand(), p.serviceTopCommand(), p.serviceMetricsCommand()},
		// kubectl's and Docker's.
		Elsewhere: map[string]string{
			"list": "ls", "get": "ls", "ps": "ls", "endpoints": "inspect", "describe": "inspect", "show": "inspect",
			"stats": "top", "status": "inspect", "prometheus": "metrics",
		},
	}
}

// noServices is said where there is none, which is no error.
const noServices = "there are no services: a manifest that has one brings it (peapod pod run)"

// findServices returns the services with these names, or all if none is given.
func (p *peapod) findServices(names []string) ([]*pod.ServiceRecord, error) {
	all, err := p.store().ListServices()
	if err != nil || len(names) == 0 {
		return all, err
	}
	var known []string
	for _, r := range all {
		known = append(known, r.Service.Metadata.Name)
	}
	var found []*pod.ServiceRecord
	for _, name := range names {
		i := slices.Index(known, name)
		if i >= 0 {
			found = append(found, all[i])
			continue
		}
		hint := "peapod service ls lists them"
		if near := nearest.Name(name, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		return nil, fmt.Errorf("service %s: %w (%s)", name, pod.ErrServiceNotExist, hint)
	}
	return found, nil
}
