package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes limits of the group; what r leaves out stays as it is, also
// whether the group is frozen. The settings are made one after the other, those
// before a failing one remain made. Device rules, where there are any, take the
// place of all former ones; at no moment is open what neither allow.
//
// With memory.checkBeforeUpdate a limit below what is in use is refused;
// without it the kernel reclaims, and on v2 kills, to get there.
func (g *Group) Update(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	err := g.update(r)
	if errors.Is(err, unix.ENOENT) && !exists(g.main()) {
		err = ErrNotExist
	}
	return failed("update", g.path, err)
}

func (g *Group) update(r *specs.LinuxResources) error {
	r, err := g.keepMemory(r)
	if err != nil {
		return err
	}
	p, err := g.host.at(g.path).plan(&Options{Resources: r})
	if err != nil {
		return err
	}
	g.allowKiller(p, r)
	if err := g.keepQuota(p, r); err != nil {
		return err
	}
	if err := g.checkUsage(r); err != nil {
		return err
	}
	if err := g.unit.update(r, g.host.mode == V2); err != nil {
		return err
	}
	if err := g.apply(p); err != nil {
		return err
	}
	if len(r.Devices) > 0 {
		return g.updateDevices(p.devices)
	}
	return nil
}

// keepMemory: the OCI's swap is memory and swap together, of which v2 has swap
// alone; where only the sum changes the limit that holds is taken off.
func (g *Group) keepMemory(r *specs.LinuxResources) (*specs.LinuxResources, error) {
	m := r.Memory
	if m == nil || value(m.Swap) <= 0 || value(m.Limit) != 0 {
		return r, nil
	}
	name := g.host.unified + g.path + "/memory.max"
	if l := g.host.find("memory"); l != nil {
		name = l.dir + g.path + "/memory.limit_in_bytes"
	}
	text, err := readFile(name)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, &step{"read " + name, hint(err)}
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit > *m.Swap {
		limit = -1 // none, which v1 writes as a great number
	}
	changed, memory := *r, *m
	memory.Limit, changed.Memory = &limit, &memory
	return &changed, nil
}

// allowKiller: a new group has the OOM killer, so that only Update has to say so.
func (g *Group) allowKiller(p *plan, r *specs.LinuxResources) {
	if m := r.Memory; m != nil && m.DisableOOMKiller != nil && !*m.DisableOOMKiller && g.host.find("memory") != nil {
		p.settings = append(p.settings, setting{controller: "memory", version: one, file: "memory.oom_control", value: "0"})
	}
}

// keepQuota: cpu.max of v2 has quota and period in one file, and a new period
// must not take the quota away.
func (g *Group) keepQuota(p *plan, r *specs.LinuxResources) error {
	for i := range p.settings {
		s := &p.settings[i]
		if s.file != "cpu.max" || s.version != two || r.CPU == nil || value(r.CPU.Quota) != 0 || value(r.CPU.Period) == 0 {
			continue
		}
		text, err := readFile(g.dirOf(s) + "/cpu.max")
		if errors.Is(err, unix.ENOENT) {
			continue // the controller is yet to be switched on: no quota
		}
		if err != nil {
			return &step{"read cpu.max", hint(err)}
		}
		quota, _, _ := strings.Cut(text, " ")
		s.value = quota + " " + strconv.FormatUint(value(r.CPU.Period), 10)
	}
	return nil
}

// checkUsage refuses a memory limit that is below what is in use.
func (g *Group) checkUsage(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || value(m.Limit) <= 0 {
		return nil
	}
	name := g.host.unified + g.path + "/memory.current"
	if l := g.host.find("memory"); l != nil {
		name = l.dir + g.path + "/memory.usage_in_bytes"
	}
	text, err := readFile(name)
	if errors.Is(err, unix.ENOENT) {
		return nil // not counted so far
	}
	if err != nil {
		return &step{"read " + name, hint(err)}
	}
	if used, err := strconv.ParseInt(text, 10, 64); err == nil && used >= *m.Limit {
		return fmt.Errorf("%w memory.limit %d: %d bytes are in use (checkBeforeUpdate)", ErrInvalid, *m.Limit, used)
	}
	return nil
}
