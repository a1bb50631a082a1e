package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

// arguments are the names that a command, or its option, takes next: ids, pods,
// containers, shells, signals. None means: files.
func (p *peapod) arguments(c *cli.Context) []string {
	p.root = c.String("root")
	if f := c.Wanted; f != nil {
		return p.optionNames(c, f.Name)
	}
	if c.NArg() == 1 && c.Command.Name == "kill" {
		return signalNames()
	}
	usage := c.Command.ArgsUsage
	if c.NArg() > 0 && !strings.Contains(usage, "...") || c.Command.Verbatim > 0 && c.NArg() >= c.Command.Verbatim {
		return nil
	}
	given := func(name string) bool { return slices.Contains(c.Args(), name) }
	return slices.DeleteFunc(p.named(c.Command, usage), given)
}

// named are the names of what a command's usage names.
func (p *peapod) named(command *cli.Command, usage string) (list []string) {
	first, _, _ := strings.Cut(strings.Trim(usage, "[]"), " ")
	for kind := range strings.SplitSeq(strings.TrimSuffix(first, "..."), "|") {
		switch {
		case command.Name == "completion":
			list = append(list, kind)
		case kind == "ID" && command.Name != "create" && command.Name != "run":
			list = append(list, p.registered("containers")...)
		case kind == "POD":
			list = append(list, p.registered("pods")...)
		case kind == "deployment/NAME":
			list = append(list, p.deployments()...)
		case kind == "SERVICE":
			list = append(list, p.registered("services")...)
		}
	}
	return list
}

// optionNames are what the value of an option may be.
func (p *peapod) optionNames(c *cli.Context, option string) (list []string) {
	if option != "container" {
		return nil
	}
	for _, name := range p.registered("pods") {
		if c.NArg() > 0 && strings.TrimPrefix(c.Args().First(), "pod/") != name {
			continue
		}
		r, err := p.store().Get(name)
		if err != nil {
			continue
		}
		for _, container := range r.Pod.Spec.Containers {
			if !slices.Contains(list, container.Name) {
				list = append(list, container.Name)
			}
		}
	}
	return list
}

// deployments are those that have pods here.
func (p *peapod) deployments() (list []string) {
	store := &pod.Store{Root: p.root}
	for _, name := range p.registered("pods") {
		if d := store.DeploymentOf(name); d != "" && !slices.Contains(list, "deployment/"+d) {
			list = append(list, "deployment/"+d)
		}
	}
	return list
}

// registered lists containers, pods or services by the names of their directories:
// nobody else can read more of them.
func (p *peapod) registered(kind string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(p.root, kind))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // about to come or to go
			names = append(names, e.Name())
		}
	}
	return names
}
