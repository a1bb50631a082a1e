package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// start starts a program whose process is born in group, if it has one, and in
// the nursery if there is one; at first it runs on cpus, if there are any. A
// descriptor of a group of v2 that a has goes first. visit, if not nil, is called
// on the thread that has entered the group.
func start(p *program.Program, group *cgroups.Group, nursery *namespaces.Nursery, a *program.Attr, cpus bitList, visit func() error) (proc *program.Process, err error) {
	begin := func() error {
		if visit != nil {
			if err := visit(); err != nil {
				return err
			}
		}
		return cpus.on(func() (err error) {
			proc, err = p.Start(a)
			return err
		})
	}
	birth := begin
	if nursery != nil {
		birth = func() error { return nursery.Run(begin) }
	}
	if group == nil {
		err = birth()
		return proc, err
	}
	if !a.Sys.UseCgroupFD {
		dir, _, err := group.Descriptor()
		if err != nil {
			return nil, err
		}
		if dir != nil {
			defer dir.Close()
			a.Sys.UseCgroupFD, a.Sys.CgroupFD = true, int(dir.Fd())
			defer func() { a.Sys.UseCgroupFD = false }()
		}
	}
	err = group.Enter(birth)
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
	hooks   func() error                         // called at their synchronisation point
	place   func(int) error                      // moves the first process into its cgroup
	parent  func() error                         // called where the host's devices are wanted
	notify  func(pidfd, listener, pid int) error // takes a seccomp listener

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
	case syncGroup:
		if err := s.place(s.proc.Pid); err != nil {
			return err
		}
		return s.proc.Continue()
	case syncIDs:
		if err := s.members.writeIDs(s.proc.Pid); err != nil {
			return err
		}
		return s.proc.Continue()
	case syncClocks:
		if err := s.members.writeClocks(s.proc.Pid); err != nil {
			return err
		}
		return s.proc.Continue()
	case messagePid:
		if err := s.open(int(e.Value)); err != nil {
			return err
		}
		return s.tell()
	case syncParent:
		if err := s.parent(); err != nil {
			return err
		}
		return s.proc.Continue()
	case syncHooks:
		if err := s.tell(); err != nil {
			return err
		}
		if err := s.hooks(); err != nil {
			return err
		}
		return s.proc.Continue()
	case messageListener:
		if err := s.notify(int(s.pidfd().Fd()), int(e.Value), s.pid); err != nil {
			return err
		}
		return s.proc.Continue()
	case syncCreated:
		if err := s.tell(); err != nil {
			return err
		}
		return s.proc.Continue()
	}
	return nil
}

// pidfd is that of the process that stays.
func (s *setup) pidfd() *os.File {
	if s.child != nil {
		return s.child
	}
	return s.proc.PidFD()
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
