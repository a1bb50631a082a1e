package main

import (
	"context"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/integration/internal/results"
)

// shareBar is how much of a container's life its cgroups may take.
const shareBar = 0.10

// shareTable compares what a container's cgroups take with all that it takes.
// What is done in a start beside other things is counted in full.
func (s *stage) shareTable(ctx context.Context) (*results.Table, error) {
	if s.Peapod == "" {
		return nil, nil
	}
	t := &results.Table{Title: s.title("The part of the cgroups"), Base: "peapod run",
		Text: "A container's cgroup, made, opened for the process that is born in it, and removed, by package cgroups as `peapod run` does it, beside all of `peapod run`; also with the device rules that `runc spec` has, which on v2 are a BPF program to load and attach."}
	whole, err := s.runContender(oci{"peapod", s.Peapod}, "share", asItIs)
	if err != nil {
		return nil, err
	}
	whole.bar = 0
	return t, measure(ctx, s.Options, t, []*contender{whole, s.groupContender("its cgroup", nil), s.groupContender("its cgroup with device rules", usualDevices)})
}

// usualDevices are those of engines: all is forbidden but what every container has.
var usualDevices = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}

func (s *stage) groupContender(name string, r *specs.LinuxResources) *contender {
	c := &contender{name: name}
	if s.name == stageUnified {
		c.bar = shareBar
	}
	c.once = func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		g, err := cgroups.New(s.cgroups.path("share"), r)
		if err != nil {
			return 0, err
		}
		f, _, err := g.Descriptor()
		if err != nil {
			return 0, err
		}
		if f != nil {
			f.Close()
		}
		err = g.Delete(ctx)
		return time.Since(begin), err
	}
	return c
}
