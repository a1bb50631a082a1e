package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Update changes limits of the group; what r leaves out stays as it is. The
// settings are made one after the other, those before a failing one remain
// made. Device rules cannot be changed: the error is ErrUnsupported.
//
// With memory.checkBeforeUpdate a limit below what is in use is refused;
// without it the kernel reclaims, and on v2 kills, to get there.
func (g *Group) Update(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if len(r.Devices) > 0 {
		return failed("update", g.path, fmt.Errorf("device rules: %w while the group is in use; leave them out", ErrUnsupported))
	}
	p, err := g.host.plan(r)
	if err == nil {
		err = g.keepQuota(p, r)
	}
	if err == nil {
		err = g.checkUsage(r)
	}
	if err == nil {
		err = g.apply(p)
	}
	if errors.Is(err, unix.ENOENT) && !exists(g.main()) {
		err = ErrNotExist
	}
	return failed("update", g.path, err)
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
