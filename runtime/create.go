package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
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
	return c, wrap("run", id, err)
}

// Plan returns the program that Create and Run would start, to be listed. It
// opens and makes nothing and needs no privilege.
func (r *Runtime) Plan(id string, o *CreateOptions) (*program.Program, error) {
	c, err := o.plan(r.root(), id, false)
	if err != nil {
		return nil, err
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
	if err := needRoot(); err != nil {
		return nil, err
	}
	p, err := o.plan(r.root(), id, true)
	if err != nil {
		return nil, err
	}
	defer p.members.close()

	nursery, err := r.nursery(p.members, o.KillWithParent)
	if err != nil {
		return nil, err
	}
	if nursery != nil {
		defer nursery.Close()
	}

	// 1. The directory, which reserves the name, and what others may know.
	c := &Container{runtime: r, dir: r.dir(id), record: record{
		OCIVersion: specs.Version,
		ID:         id,
		Bundle:     p.options.Bundle,
		Rootfs:     absolute(p.options.Bundle, p.spec.Root.Path),
		Created:    time.Now().UTC(),
		Owner:      owner(),
		Cgroup:     cgroupPath(p.spec, r.root(), id),
		Hostname:   p.spec.Hostname, Annotations: p.spec.Annotations,
		Process: p.spec.Process, Namespaces: p.spec.Linux.Namespaces,
		Mounts: destinations(p.spec.Mounts),
	}}
	if err := c.register(); err != nil {
		return nil, err
	}
	undo.add(func() { os.RemoveAll(c.dir) })
	if err := c.record.save(c.dir); err != nil {
		return nil, err
	}

	// 2. The cgroup, while the next steps are done.
	group := c.makeGroup(p.spec.Linux.Resources)
	undo.add(func() {
		if group() == nil {
			c.group.Destroy(context.WithoutCancel(ctx))
		}
	})
	if p.bindsGroup {
		if err := group(); err != nil {
			return nil, err
		}
	}

	// 3. What the container takes from the host.
	if !p.members.joins(namespaces.Mount) {
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
	if err := group(); err != nil {
		return nil, err
	}
	attr := &program.Attr{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Sys: p.members.sys()}
	done, err := protectNull(&attr.Stdin, &attr.Stdout, &attr.Stderr)
	if err != nil {
		return nil, err
	}
	defer done()
	proc, err := start(prog, c.group, nursery, attr)
	if err != nil {
		return nil, err
	}
	s := &setup{proc: proc, members: p.members, pid: proc.Pid, ready: func(pid int) error { return c.started(p, pid) }}
	undo.add(func() {
		s.abort()
		removePidFile(o.PidFile, s.pid)
	})
	if err := s.run(ctx); err != nil {
		return nil, commandError(err, p.id.Process, c.record.Rootfs, c.record.Mounts)
	}
	c.child = s.finish()
	return c, nil
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
	_, startTime, err := stat(pid)
	if err != nil {
		return fmt.Errorf("the container's process: %w", err)
	}
	c.process = process{pid, startTime}
	if err := c.process.save(c.dir); err != nil {
		return err
	}
	return writePidFile(p.options.PidFile, pid)
}

func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return replace(path, []byte(strconv.Itoa(pid)))
}

// removePidFile removes the pid file of a process that came to nothing, unless
// it is another's.
func removePidFile(path string, pid int) {
	if data, err := os.ReadFile(path); err == nil && string(data) == strconv.Itoa(pid) {
		os.Remove(path)
	}
}

// start starts a program whose process is born in group, and in the nursery if
// there is one.
func start(p *program.Program, group *cgroups.Group, nursery *namespaces.Nursery, a *program.Attr) (proc *program.Process, err error) {
	dir, _, err := group.Descriptor()
	if err != nil {
		return nil, err
	}
	if dir != nil {
		defer dir.Close()
		a.Sys.UseCgroupFD, a.Sys.CgroupFD = true, int(dir.Fd())
	}
	begin := func() (err error) {
		proc, err = p.Start(a)
		return err
	}
	if nursery != nil {
		err = nursery.Run(begin)
		return proc, err
	}
	err = group.Enter(begin)
	return proc, err
}

// setup is a program that is being performed.
type setup struct {
	proc    *program.Process
	members *membership
	pid     int             // of the process that stays
	child   *os.File        // its pidfd, where it is not the first one
	ready   func(int) error // called with it before it may go on
	told    bool

	mu        sync.Mutex // guards child and cancelled
	cancelled bool
}

// run answers the program's messages until it has executed the command, or
// waits at its gate.
func (s *setup) run(ctx context.Context) error {
	if !s.members.inside() {
		if err := s.tell(); err != nil {
			return err
		}
	}
	for {
		e, err := s.next(ctx)
		if err == io.EOF {
			return s.tell()
		}
		if err == nil {
			err = s.answer(e)
		}
		if err != nil {
			return err
		}
		if e.Label == syncCreated {
			return nil
		}
	}
}

// next waits for the next message. A program that forks is not simply killed
// when ctx ends: a child whose pid was not reported yet could never be reaped.
func (s *setup) next(ctx context.Context) (program.Event, error) {
	if !s.members.forks() {
		return s.proc.Next(ctx)
	}
	defer program.OnEnd(ctx, s.cancel)()
	e, err := s.proc.Next(context.WithoutCancel(ctx))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return e, err
}

// cancel ends the process that stays, or lets the first one end by itself:
// before its fork it does nothing that takes long but wait for us.
func (s *setup) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled = true
	if s.child != nil {
		unix.PidfdSendSignal(int(s.child.Fd()), unix.SIGKILL, nil, 0)
	} else {
		s.proc.Hangup()
	}
}

func (s *setup) answer(e program.Event) error {
	switch e.Label {
	case syncIDs:
		if err := s.members.writeIDs(s.proc.Pid); err != nil {
			return err
		}
		return s.proc.Continue()
	case messagePid:
		if err := s.open(int(e.Value)); err != nil {
			return err
		}
		return s.tell()
	case syncCreated:
		if err := s.tell(); err != nil {
			return err
		}
		return s.proc.Continue()
	}
	return nil
}

// open opens the process that was forked, which is our child.
func (s *setup) open(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open the container's process: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.child = pid, os.NewFile(uintptr(fd), "pidfd")
	if s.cancelled {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
	return nil
}

// tell calls ready, once.
func (s *setup) tell() error {
	if s.told {
		return nil
	}
	s.told = true
	return s.ready(s.pid)
}

// finish returns the process that stays, and reaps the other.
func (s *setup) finish() *child {
	defer s.proc.Close()
	if s.child == nil {
		return &child{pidfd: s.proc.TakePidFD()}
	}
	s.proc.Reap()
	return &child{pidfd: s.child}
}

// abort ends what was started.
func (s *setup) abort() {
	for _, e := range s.proc.Abort() {
		if e.Label == messagePid && s.child == nil {
			s.open(int(e.Value))
		}
	}
	if s.child != nil {
		unix.PidfdSendSignal(int(s.child.Fd()), unix.SIGKILL, nil, 0)
		(&program.Process{Pid: s.pid}).Reap()
		s.child.Close()
	}
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
