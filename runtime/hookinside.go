package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// setupHooks are a container's hooks that run while it is created and started.
// Those of the runtime are run by the parent at a synchronisation point, which
// comes first; those of the container by the container's program, in processes
// that it forks.
type setupHooks struct {
	*specs.Hooks
	creating, created *os.File // their states; nil in a program that is only listed
	output            *os.File // of createContainer
}

// newSetupHooks is nil where the spec has no such hooks.
func newSetupHooks(h *specs.Hooks) *setupHooks {
	//lint:ignore SA1019 deprecated hooks are in use
	if h == nil || len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer)+len(h.StartContainer) == 0 {
		return nil
	}
	return &setupHooks{Hooks: h}
}

// open makes what the hooks inside read and write.
func (h *setupHooks) open() (err error) {
	for name, f := range map[string]**os.File{"creating": &h.creating, "created": &h.created, "output": &h.output} {
		if *f, err = memory(name, nil); err != nil {
			h.close()
			return err
		}
	}
	return nil
}

func (h *setupHooks) close() {
	h.creating.Close()
	h.created.Close()
	h.output.Close()
}

// beforePivot appends the synchronisation point and the createContainer hooks.
func (h *setupHooks) beforePivot(p *program.Program, root string) {
	p.Sync(syncHooks)
	if len(h.CreateContainer) == 0 {
		return
	}
	state, output := p.File(h.creating, "state"), p.File(h.output, "output")
	for i := range h.CreateContainer {
		runInside(p, hookCreateContainer, uint64(i), &h.CreateContainer[i], state, func() {
			for fd := 1; fd <= 2; fd++ {
				p.Call(unix.SYS_DUP3, output, program.Int(fd), program.Int(0)).For("use", "the hook's output")
			}
			p.Call(unix.SYS_CHDIR, p.Str(root)).For("change directory to", root)
		})
	}
}

// startContainer appends the hooks of that kind. They have the process's
// standard output and error, its user and its limits, and what filter puts on
// them; its environment env too where they say nothing of one, as with runc.
func (h *setupHooks) startContainer(p *program.Program, state program.Value, env []string, filter func()) {
	for i := range h.StartContainer {
		hook := h.StartContainer[i]
		if len(hook.Env) == 0 {
			hook.Env = env
		}
		runInside(p, hookStartContainer, uint64(len(h.CreateContainer)+i), &hook, state, filter)
	}
}

// runInside appends a fork whose child executes a hook, and the waiting for its
// end. prepare appends what the child does before.
func runInside(p *program.Program, kind string, code uint64, h *specs.Hook, state program.Value, prepare func()) {
	what := kind + " hook " + h.Path
	poll := make([]byte, 8) // struct pollfd, whose first word is the pidfd
	binary.LittleEndian.PutUint16(poll[4:], unix.POLLIN)
	pollfd := p.Bytes(poll, "{pidfd, POLLIN}")
	pid, failed := p.Var("hook"), p.GiveUp(code)
	child, late, ended, bad, ok := p.Label(), p.Label(), p.Label(), p.Label(), p.Label()

	// Linux 5.2: the pidfd goes where clone's third argument says.
	p.Call(unix.SYS_CLONE, program.Sym(unix.CLONE_PIDFD|int(unix.SIGCHLD), "CLONE_PIDFD|SIGCHLD"),
		program.Null, pollfd, program.Null, program.Null).Into(pid).Zero(child).For("fork for", what)
	if h.Timeout != nil {
		seconds := binary.LittleEndian.AppendUint64(nil, uint64(*h.Timeout))
		p.Call(unix.SYS_PPOLL, pollfd, program.Int(1), p.Bytes(append(seconds, make([]byte, 8)...), fmt.Sprintf("{%d s}", *h.Timeout)), program.Null, program.Int(0)).
			For("wait for", what).Zero(late).Then(ended)
		p.Here(late)
		p.Call(unix.SYS_KILL, pid.Value(), program.Sym(int(unix.SIGKILL), "SIGKILL")).For("kill", what)
		timedOut := p.GiveUp(code)
		p.Set(timedOut.Value, hookTimedOut)
		p.Send(timedOut)
		p.Exit(127)
	}
	p.Here(ended)
	p.Call(unix.SYS_WAIT4, pid.Value(), failed.Value.Addr(), program.Int(0), program.Null).For("wait for", what)
	p.Call(unix.SYS_CLOSE, p.Patch(pollfd, 0, "pidfd").Value())
	// The call is one that fails where its argument is not 0.
	p.Call(unix.SYS_PRCTL, program.Sym(unix.PR_GET_NO_NEW_PRIVS, "PR_GET_NO_NEW_PRIVS"), failed.Value.Value(), program.Int(0), program.Int(0), program.Int(0)).
		For("check", "the status of "+what).Tolerate(unix.EINVAL).Else(bad).Then(ok).Zero(ok)
	p.Here(bad)
	p.Send(failed)
	p.Exit(127)

	p.Here(child)
	p.Call(unix.SYS_LSEEK, state, program.Int(0), program.Int(0)).For("run", what)
	p.Call(unix.SYS_DUP3, state, program.Int(0), program.Int(0)).For("run", what)
	// Closed by the execve, so that its failure can still be reported.
	p.Call(unix.SYS_CLOSE_RANGE, program.Int(3), program.Int(^uint32(0)), program.Sym(unix.CLOSE_RANGE_CLOEXEC, "CLOSE_RANGE_CLOEXEC")).For("run", what)
	prepare()
	p.Call(unix.SYS_EXECVE, p.Str(h.Path), p.Strs(hookArgs(h)), p.Strs(h.Env)).For("run", what)
	p.Here(ok)
}

// run answers the synchronisation point: it tells the hooks inside the state
// and runs those of the runtime.
func (h *setupHooks) run(ctx context.Context, c *Container, pid int) error {
	inside, err := pidInside(pid)
	if err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	for status, f := range map[specs.ContainerState]*os.File{specs.StateCreating: h.creating, specs.StateCreated: h.created} {
		if err := fillMemory(f, c.stateFor(status, inside)); err != nil {
			return err
		}
		// One hook is not to change what the next one reads.
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
			return fmt.Errorf("seal the state for hooks: %w", err)
		}
	}
	return c.runtimeHooks(ctx, h.Hooks, pid)
}

// runtimeHooks runs those of the runtime, before the container's command runs.
func (c *Container) runtimeHooks(ctx context.Context, h *specs.Hooks, pid int) error {
	// The OCI's validation programs want "created" in the deprecated hooks.
	//lint:ignore SA1019 deprecated hooks are in use
	if err := c.runHooks(ctx, hookPrestart, h.Prestart, c.stateFor(specs.StateCreated, pid)); err != nil {
		return err
	}
	return c.runHooks(ctx, hookCreateRuntime, h.CreateRuntime, c.stateFor(specs.StateCreating, pid))
}

// pidInside is a process's pid as its own pid namespace has it.
func pidInside(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(list)
			return strconv.Atoi(fields[len(fields)-1])
		}
	}
	return 0, errors.New("the kernel does not tell pids of other namespaces (NSpid in /proc/PID/status)")
}
