package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// ExecOptions say what to execute in a container. Process is needed.
type ExecOptions struct {
	// Process is what to run (runtime-spec, "process").
	Process *specs.Process
	// Stdin, Stdout and Stderr are the process's; nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
	// ExtraFiles become its descriptors 3 and up.
	ExtraFiles []*os.File
	// Console is a connected unix socket that the master of the terminal
	// is sent over, where Process asks for a terminal.
	Console *os.File
	// ConsoleAnswer is that of CreateOptions.
	ConsoleAnswer bool
	// PidFile, when not "", gets the process's pid.
	PidFile string
	// IgnorePaused waits for a paused container to be resumed, where it is
	// ErrPaused otherwise.
	IgnorePaused bool
	// PidfdSocket, when not nil, is a connected unix socket that a pidfd of
	// the process is sent over.
	PidfdSocket *os.File
	// Cgroups are groups below the container's that are there already, to
	// execute the process in: one path, or, on cgroup v1, several of the form
	// "cpu,memory:path". Without any it is the container's own, or that of its
	// first process where the container's has become a parent.
	Cgroups []string
	// KillWithParent ends the process when the caller ends.
	KillWithParent bool
}

// Process is a process that was executed in a container.
type Process struct {
	pid   int
	child *child
}

// Exec executes a further process in a container that is created or running.
// The error is a *CommandError when the command could not be executed, and
// ErrNotRunning when the container has stopped. The caller waits for the
// process.
func (c *Container) Exec(ctx context.Context, o *ExecOptions) (*Process, error) {
	p, err := c.exec(ctx, o)
	if err != nil && c.endsMeanwhile(ctx, err) {
		err = fmt.Errorf("%w: it has ended meanwhile: %w", ErrNotRunning, err)
	}
	return p, wrap("exec in", c.ID(), err)
}

// endsMeanwhile tells whether err comes of the container's end while something was
// to be executed in it: a process that is about to end has no namespaces any more
// (ESRCH), nobody is born in a pid namespace without a first process (ENOMEM), and
// who was is killed. The end itself may be a moment away then.
func (c *Container) endsMeanwhile(ctx context.Context, err error) bool {
	if c.process.PID == 0 || errors.Is(err, ErrNotRunning) || errors.As(err, new(*CommandError)) {
		return false
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOMEM) || errors.Is(err, program.ErrDied) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return waitProcess(ctx, c.process) == nil
	}
	return !c.process.Alive()
}

func (c *Container) exec(ctx context.Context, o *ExecOptions) (proc *Process, err error) {
	if err := checkKernel(); err != nil {
		return nil, err
	}
	id, err := checkProcess(o.Process)
	if err != nil {
		return nil, err
	}
	c.runtime.tellIgnored(id, c.ID())
	if err := id.ofContainer(c.record.Personality, c.record.MemoryPolicy); err != nil {
		return nil, err
	}
	id.withHome(func() []byte { return readIn(fmt.Sprintf("/proc/%d/root", c.process.PID), passwdFile) })
	if id.filter, err = c.record.Seccomp.load(); err != nil {
		return nil, err
	}
	if id.Terminal && o.Console == nil {
		return nil, fmt.Errorf("process.terminal: there is nobody to send the terminal to: give a console socket")
	}
	if rootless() && c.waiting() {
		// Its program may be traced by nobody, and an ordinary user needs that
		// to join its namespaces.
		return nil, fmt.Errorf("%w: before that only root can execute something in it: start it first", ErrNotRunning)
	}
	fd, err := openProcess(c.process)
	if errors.Is(err, ErrNotRunning) {
		return nil, fmt.Errorf("%w: cannot exec in a stopped container", err)
	}
	if err != nil {
		return nil, err
	}
	target := os.NewFile(uintptr(fd), "container")
	defer target.Close()
	group, err := c.cgroup()
	if err != nil && !errors.Is(err, ErrNoCgroup) {
		return nil, err
	}
	if group != nil {
		if err := runs(ctx, group, o.IgnorePaused); err != nil {
			return nil, err
		}
	}

	if !slices.ContainsFunc(c.record.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace }) {
		id.caps = c.runtime.passOn(id.caps, c.ID())
		if c.record.NoCgroup != "" {
			id.caps = id.caps.withoutDevices()
		}
	}
	root, err := c.root(target)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	where, err := placeOf(group, o.Cgroups)
	if err != nil {
		return nil, err
	}
	if err := where.outside(); err != nil {
		c.runtime.log().Warn("what is executed is not in the container's cgroup", "id", c.ID(), "cause", err)
		where = &place{}
	}
	prog, inPid := execProgram(c.record.Namespaces, c.ID(), id, target, root, o, where.attach)
	m := &membership{}
	if inPid {
		m.join = []joined{{kind: namespaces.PID}} // there will be a message of the pid
	}
	attr := &program.Attr{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Dir: c.dir}
	done, err := protectNull(&attr.Stdin, &attr.Stdout, &attr.Stderr)
	if err != nil {
		return nil, err
	}
	defer done()
	sp, err := where.start(prog, c.process.PID, attr, id.affinity.initial)
	if err != nil {
		return nil, err
	}
	s := &setup{proc: sp, members: m, pid: sp.Pid, ready: o.told,
		place:  func(pid int) error { return where.move(pid, c.process.PID) },
		notify: func(pidfd, n, pid int) error { return id.filter.agent.hand(pidfd, n, c, pid, specs.StateRunning) }}
	if err := s.run(ctx); err != nil {
		s.abort()
		removePidFile(o.PidFile, s.pid)
		return nil, commandError(err, id.Process, image{root: fmt.Sprintf("/proc/%d/root", c.process.PID), noexec: c.record.NoExec})
	}
	p := &Process{pid: s.pid, child: s.finish()}
	c.remember(p.child)
	return p, nil
}

// runs refuses a paused container, or waits for the end of that.
func runs(ctx context.Context, group *cgroups.Group, wait bool) error {
	frozen, err := group.Frozen()
	switch {
	case err != nil || !frozen:
		return err
	case !wait:
		return fmt.Errorf("%w: resume it first", ErrPaused)
	}
	return group.AwaitThaw(ctx)
}

// told is called when the process is there.
func (o *ExecOptions) told(pid int) error {
	if err := sendPidfd(o.PidfdSocket, pid); err != nil {
		return err
	}
	return writePidFile(o.PidFile, pid)
}

// remember keeps what end has to reap: a pid namespace ends only when all of
// its processes were reaped, also those that nobody waits for yet.
func (c *Container) remember(p *child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.execs = append(slices.DeleteFunc(c.execs, (*child).ended), p)
}

// execProgram joins the namespaces of the container's first process, all in one
// call, and executes the command there: in root, where that is not nil.
func execProgram(members []specs.LinuxNamespace, name string, id *identity, target, root *os.File, o *ExecOptions, attach bool) (p *program.Program, inPid bool) {
	p = program.New(o.ExtraFiles...)
	if attach {
		p.Sync(syncGroup)
	}
	if rootless() {
		id.ownScore(p)
	}
	prologue(p)
	if len(id.affinity.initial) == 0 && len(id.affinity.final) == 0 {
		allCPUs(p)
	}
	var flags uint64
	for _, ns := range members {
		flags |= uint64(namespaces.Kind(ns.Type).Flag())
	}
	if flags != 0 {
		// Linux 5.8: setns with a pidfd.
		p.Call(unix.SYS_SETNS, p.File(target, "container"), cloneFlags(flags)).For("join", "the container's namespaces")
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		becomeRoot(p)
	}
	if root != nil {
		enterRoot(p, p.File(root, "the container's root"))
	}
	inPid = flags&unix.CLONE_NEWPID != 0
	if inPid {
		forkInto(p)
	}
	p.Call(unix.SYS_SETSID).Tolerate(unix.EPERM).For("make", "a session")
	joinKeyring(p, name)
	id.affinity.final.set(p)
	if !rootless() {
		set(p, id.settings())
	}
	p.Call(unix.SYS_UMASK, program.Octal(0)) // else the caller's would be on the working directory
	po := processOptions{parentDeath: o.KillWithParent, answers: p.Report()}
	po.streams = streamsOf(o.Stdin, o.Stdout, o.Stderr)
	if id.Terminal {
		master, slave := openTerminal(p)
		po.terminal = newTerminal(p, o.Console, o.ConsoleAnswer, id.ConsoleSize, master, slave)
	}
	id.steps(p, po)
	return p, inPid
}

// Pid is the process's, in the caller's pid namespace.
func (p *Process) Pid() int { return p.pid }

// Wait waits for the process's end and reaps it. Any number of goroutines may
// wait, and again later.
func (p *Process) Wait(ctx context.Context) (ExitStatus, error) {
	status, err := p.child.wait(ctx)
	if err != nil {
		return status, fmt.Errorf("wait for process %d: %w", p.pid, err)
	}
	p.child.close()
	return status, nil
}

// Signal sends sig to the process. The error is ErrNotRunning when it has
// ended.
func (p *Process) Signal(sig unix.Signal) error {
	if err := p.child.signal(sig); err != nil {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// SignalGroup sends sig to the process and to what it started, as far as that
// has stayed in its process group. The error is ErrNotRunning when the process
// has ended and was reaped: the group may be another one's by then.
func (p *Process) SignalGroup(sig unix.Signal) error {
	p.child.mu.Lock()
	defer p.child.mu.Unlock()
	if p.child.pidfd == nil || p.child.exit != nil {
		return fmt.Errorf("signal the group of process %d: %w", p.pid, ErrNotRunning)
	}
	// It leads a session, and so a group, of its own; not reaped, it keeps its
	// number from being used again.
	if err := unix.Kill(-p.pid, sig); err != nil && err != unix.ESRCH {
		return fmt.Errorf("signal the group of process %d: %w", p.pid, err)
	}
	return nil
}
