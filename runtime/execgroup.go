package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// place is where in the container's cgroup a process is executed.
type place struct {
	group *cgroups.Group // nil: the container has none
	steps []step         // on from there, in hierarchies of v1
	exact bool           // it was asked for: nowhere else
	// attach: the process is started elsewhere and moved.
	attach bool
}

// step is one group of --cgroup, as "cpu,memory:sub".
type step struct{ controller, sub string }

// placeOf reads ExecOptions.Cgroups. group may be nil.
func placeOf(group *cgroups.Group, list []string) (*place, error) {
	p := &place{group: group, exact: len(list) > 0, attach: group != nil && attaches(group.Path())}
	if len(list) > 0 && group == nil {
		return nil, fmt.Errorf("cgroup %q: the container has no cgroup of its own", list[0])
	}
	for _, s := range list {
		controllers, sub, ok := strings.Cut(s, ":")
		switch {
		case s == "" || strings.Contains(sub, ":"):
			return nil, fmt.Errorf("cgroup %q: give [CONTROLLERS:]PATH", s)
		case !ok && len(list) > 1:
			return nil, fmt.Errorf("cgroup %q: several are for hierarchies of cgroup v1: begin with their controllers (cpu,memory:%s)", s, s)
		case !ok:
			var err error
			p.group, err = group.Below(s)
			return p, err
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if slices.ContainsFunc(p.steps, func(s step) bool { return s.controller == c }) {
				return nil, fmt.Errorf("cgroup %q: the controller %s comes twice", s, c)
			}
			p.steps = append(p.steps, step{c, sub})
		}
	}
	return p, nil
}

// outside tells why a process cannot be brought to the place, unless that was asked for:
// then its start says so.
func (p *place) outside() error {
	if !p.attach || p.exact {
		return nil
	}
	return cgroups.Attachable(p.group.Path())
}

// visit takes the steps, on the thread that Enter lends.
func (p *place) visit() error {
	for _, s := range p.steps {
		if err := p.group.StepBelow(s.controller, s.sub); err != nil {
			return err
		}
	}
	return nil
}

// start starts a program there. Where the container has made groups below its
// own, and moved into them, the process follows its first one.
func (p *place) start(prog *program.Program, first int, attr *program.Attr, cpus bitList) (*program.Process, error) {
	if p.attach {
		return start(prog, nil, nil, attr, cpus, nil)
	}
	started, err := start(prog, p.group, nil, attr, cpus, p.visit)
	if p.group == nil || !errors.Is(err, unix.EBUSY) {
		return started, err
	}
	if p.exact {
		return nil, fmt.Errorf("%w (%s has limits below it, and cgroup v2 takes processes only into groups without such: name one of these)", err, p.group.Path())
	}
	dir, e := p.group.DescriptorOf(first)
	if e != nil {
		return nil, errors.Join(err, e)
	}
	defer dir.Close()
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	return start(prog, p.group, nil, attr, cpus, p.visit)
}

// move moves a process that was started elsewhere to its place.
func (p *place) move(pid, first int) error {
	err := p.group.Attach(pid)
	if err == nil || p.exact {
		return err
	}
	if p.group.AttachWhere(pid, first) == nil { // of a group that has become a parent
		return nil
	}
	return err
}
