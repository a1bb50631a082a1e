package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

// podNames are the pods that a command is for: those of its arguments, in which a
// Deployment stands for its pods, and those that --file describes and are there.
func (p *peapod) podNames(c *cli.Context) (names []string, err error) {
	if c.Bool("all") {
		return p.allPods(c)
	}
	if file := c.String("file"); file != "" {
		if names, err = p.podsOfFile(file); err != nil {
			return nil, err
		}
	} else if err := c.NeedArgs(1, -1); err != nil {
		return nil, err
	}
	var errs []error
	for _, arg := range c.Args() {
		name, deployment, err := pod.SplitTarget(arg)
		switch {
		case err != nil:
			errs = append(errs, err)
		case deployment:
			list, err := p.podsOfDeployment(name)
			names, errs = append(names, list...), append(errs, err)
		default:
			names = append(names, name)
		}
	}
	seen := map[string]bool{}
	names = slices.DeleteFunc(names, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
	return names, errors.Join(errs...)
}

// allPods are those of --all.
func (p *peapod) allPods(c *cli.Context) (names []string, err error) {
	if c.NArg() > 0 || c.String("file") != "" {
		return nil, fmt.Errorf("pod %s: --all stands for all pods: leave it out, or the others", c.Command.Name)
	}
	list, err := p.store().List()
	for _, r := range list {
		names = append(names, r.Pod.Metadata.Name)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintln(p.stderr, "peapod: there are no pods")
	}
	return names, err
}

func (p *peapod) podsOfDeployment(name string) (names []string, err error) {
	list, err := p.store().DeploymentPods(name)
	for _, r := range list {
		names = append(names, r.Pod.Metadata.Name)
	}
	return names, err
}

// podsOfFile are those that are there. The error is pod.ErrNotExist where none is.
func (p *peapod) podsOfFile(file string) (names []string, err error) {
	name, data, err := p.readSpec(file)
	if err != nil {
		return nil, err
	}
	m, err := pod.ParseManifest(name, data)
	if err != nil {
		return nil, err
	}
	for _, spec := range m.Pods {
		switch _, err := p.store().Get(spec.Metadata.Name); {
		case err == nil:
			names = append(names, spec.Metadata.Name)
		case !errors.Is(err, pod.ErrNotExist):
			return nil, err
		}
	}
	for _, d := range m.Deployments {
		list, err := p.podsOfDeployment(d.Metadata.Name)
		if err != nil && !errors.Is(err, pod.ErrNoDeployment) {
			return nil, err
		}
		names = append(names, list...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w of this file (peapod pod ps lists them)", name, pod.ErrNotExist)
	}
	return names, nil
}
