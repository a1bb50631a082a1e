package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/kernel"
	"github.com/peapod/peapod/internal/proc"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// Create makes a container that waits for Start. What it made is undone when
// it fails. errors.Is tells ErrExist.
func (r *Runtime) Create(ctx context.Context, id string, o *CreateOptions) (*Container, error) {
	c, err := r.create(ctx, id, o, true)
	return c, wrap("create", id, err)
}

// Run makes a container and starts it: Create and Start in one, and faster. The
// error is a *CommandError when the command could not be executed.
func (r *Runtime) Run(ctx context.Context, id string, o *CreateOptions) (*Container, error) {
	c, err := r.create(ctx, id, o, false)
	if err == nil {
		if err = c.poststart(ctx); err != nil {
			err = errors.Join(err, c.delete(context.WithoutCancel(ctx), true))
			c = nil
		}
	}
	return c, wrap("run", id, err)
}

// Plan returns the program that Create and Run would start, to be listed. It
// opens and makes nothing and needs no privilege.
func (r *Runtime) Plan(id string, o *CreateOptions) (*program.Program, error) {
	c, err := o.plan(r.root(), id, false)
	if err != nil {
		return nil, err
	}
	if rootless() && c.members.has(unix.CLONE_NEWUSER) {
		c.members.joinUser(nil)
	}
	return c.program()
}

// create makes the container step by step. Each adds to undo what takes it
// back.
func (r *Runtime) create(ctx context.Context, id string, o *CreateOptions, wait bool) (_ *Container, err error) {
	defer r.unexpect()
	var undo undo
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := CheckHost(); err != nil {
		return nil, err
	}
	p, err := o.plan(r.root(), id, true)
	if err != nil {
		return nil, err
	}
	defer p.members.close()
	if p.rootfs.Detached {
		if err := kernel.CheckDetached(); err != nil {
			return nil, fmt.Errorf(`linux.namespaces: a container without a mount namespace of its own: %w; add {"type": "mount"}, without a path`, err)
		}
	}
	r.tellIgnored(p.id, id)
	r.tellIgnoredOptions(p.spec.Mounts, id)
	if !p.members.user() {
		p.id.caps = r.passOn(p.id.caps, id)
	}
	r.restrict(p, id)
	r.tellUnknown(p.id.filter, id)
	if rootless() {
		if err := p.members.ownUser(ctx); err != nil {
			return nil, err
		}
	}

	nursery, err := r.nursery(p.members, o.KillWithParent)
	if err != nil {
		return nil, err
	}
	if nursery != nil {
		defer nursery.Close()
	}

	// 1. The directory, which reserves the name, and what others may know.
	c := r.newContainer(p, id)
	if err := c.register(); err != nil {
		return nil, err
	}
	hooked := false
	undo.add(func() {
		c.leaveClass()
		os.RemoveAll(c.dir)
		if hooked { // what they made is undone by others of theirs
			c.poststop(context.WithoutCancel(ctx))
		}
	})
	if err := c.record.save(c.dir); err != nil {
		return nil, err
	}
	if o.Notify {
		if err := c.makeNotify(!wait); err != nil {
			return nil, err
		}
		undo.add(c.closeNotify)
	}

	if p.hooks != nil {
		if err := p.hooks.open(); err != nil {
			return nil, err
		}
		defer p.hooks.close()
	}

	// 2. The cgroup, while the next steps are done.
	group := c.makeGroup(p.spec.Linux.Resources)
	undo.add(func() {
		if group() == nil && c.group != nil {
			c.group.Destroy(context.WithoutCancel(ctx))
		}
	})
	if p.bindsGroup {
		if err := group(); err != nil {
			return nil, err
		}
	}

	// 3. What the container takes from the host.
	if p.rootfs.Inside {
		p.sources = &rootfs.Sources{}
	} else {
		if p.sources, err = rootfs.Open(p.rootfs); err != nil {
			return nil, err
		}
		defer p.sources.Close()
	}
	if wait {
		if p.gate, err = newGate(c.dir); err != nil {
			return nil, err
		}
		defer p.gate.close()
	}

	// 4. The process.
	prog, err := p.program()
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	if err := prog.Write(c.dir); err != nil {
		return nil, err
	}
	if p.gate != nil {
		if err := writeOnce(filepath.Join(c.dir, stepsFile), prog.Names(p.gate.after)); err != nil {
			return nil, err
		}
	}
	if err := group(); err != nil {
		return nil, err
	}
	attr := &program.Attr{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Sys: p.members.sys()}
	done, err := protectNull(&attr.Stdin, &attr.Stdout, &attr.Stderr)
	if err != nil {
		return nil, err
	}
	defer done()
	born := c.group
	if p.attach {
		born = nil
	}
	started, err := start(prog, born, nursery, attr, nil, nil)
	if err != nil {
		return nil, err
	}
	s := &setup{proc: started, members: p.members, pid: started.Pid, ready: func(pid int) error { return c.started(p, pid) },
		notify: func(pidfd, n, pid int) error { return p.id.filter.agent.hand(pidfd, n, c, pid, specs.StateCreating) }}
	s.place = func(pid int) error { return c.group.Attach(pid) }
	s.parent = func() error { return c.takeFromHost(p.spec.Linux, s.pid) }
	s.hooks = func() error {
		hooked = true
		return p.hooks.run(ctx, c, s.pid)
	}
	undo.add(func() {
		s.abort()
		removePidFile(o.PidFile, s.pid)
	})
	if err := s.run(ctx); err != nil {
		if p.hooks != nil {
			err = hookError(err, p.spec.Hooks, p.hooks.output)
		}
		return nil, commandError(err, p.id.Process, c.record.image())
	}
	c.child = s.finish()
	return c, nil
}

// newContainer is a container that is to be made: what others may know of it.
func (r *Runtime) newContainer(p *plan, id string) *Container {
	return &Container{runtime: r, dir: r.dir(id), record: record{
		OCIVersion: specs.Version,
		ID:         id,
		Bundle:     p.options.Bundle,
		Rootfs:     absolute(p.options.Bundle, p.spec.Root.Path),
		Created:    time.Now().UTC(),
		Owner:      owner(),
		Cgroup:     p.group, NoCgroup: causeText(p.noGroup),
		Hostname: p.spec.Hostname, Annotations: p.spec.Annotations,
		Process: p.spec.Process, Namespaces: p.spec.Linux.Namespaces,
		Mounts: destinations(p.spec.Mounts), NoExec: noexec(p.spec.Mounts), Seccomp: p.id.filter.save(), Hooks: p.spec.Hooks,
		IntelRdt:    p.spec.Linux.IntelRdt,
		Personality: p.spec.Linux.Personality, MemoryPolicy: p.spec.Linux.MemoryPolicy,
	}}
}

// takeFromHost gives the container's first process what it has of the host's
// devices and resources beside its cgroup.
func (c *Container) takeFromHost(l *specs.Linux, pid int) error {
	if err := moveNetDevices(l.NetDevices, pid); err != nil {
		return err
	}
	if l.IntelRdt == nil {
		return nil
	}
	class, err := findResctrl()
	if err != nil {
		return err
	}
	return class.enter(l.IntelRdt, c.ID(), pid)
}

// leaveClass removes what resctrl has of the container.
func (c *Container) leaveClass() {
	if c.record.IntelRdt == nil {
		return
	}
	if class, err := findResctrl(); err == nil {
		class.leave(c.record.IntelRdt, c.ID())
	}
}

// destinations are the directories that mounts are on.
func destinations(mounts []specs.Mount) []string {
	list := make([]string, len(mounts))
	for i, m := range mounts {
		list[i] = m.Destination
	}
	return list
}

// makeGroup begins to make the container's cgroup. What it returns waits for
// that, however often it is called.
func (c *Container) makeGroup(r *specs.LinuxResources) func() error {
	if c.record.Cgroup == "" {
		return func() error { return nil }
	}
	made := make(chan error, 1)
	go func() {
		group, err := cgroups.New(c.record.Cgroup, r)
		c.group = group
		made <- err
	}()
	return sync.OnceValue(func() error { return <-made })
}

// register makes the container's directory.
func (c *Container) register() error {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o711); err != nil {
		return err
	}
	err := os.Mkdir(c.dir, 0o711)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: delete it first, or choose another id", ErrExist)
	}
	return err
}

// started records the container's process. It waits, or is not yet what the
// user wants to run.
func (c *Container) started(p *plan, pid int) error {
	id, err := proc.Find(pid)
	if err != nil {
		return fmt.Errorf("the container's process: %w", err)
	}
	c.process = id
	if err := saveProcess(c.dir, id); err != nil {
		return err
	}
	if err := sendPidfd(p.options.PidfdSocket, pid); err != nil {
		return err
	}
	return writePidFile(p.options.PidFile, pid)
}

// absolute makes path absolute below dir, as the specification has it.
func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// undo is what takes back the steps of an operation that fails, last first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u undo) run() {
	for i := len(u) - 1; i >= 0; i-- {
		u[i]()
	}
}
