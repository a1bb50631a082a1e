package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

type unit struct{}

func (u *unit) update(r *specs.LinuxResources) error { return nil }
