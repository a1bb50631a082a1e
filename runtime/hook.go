package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// The kinds of hooks, as config.json calls them (runtime-spec, "POSIX-platform
// Hooks").
const (
	hookPrestart        = "prestart"
	hookCreateRuntime   = "createRuntime"
	hookCreateContainer = "createContainer"
	hookStartContainer  = "startContainer"
	hookPoststart       = "poststart"
	hookPoststop        = "poststop"
)

// kindOfHooks are the hooks of one kind, in their order.
type kindOfHooks struct {
	name string
	list []specs.Hook
}

// kindsOfHooks lists all hooks in the order in which they run.
func kindsOfHooks(h *specs.Hooks) []kindOfHooks {
	if h == nil {
		return nil
	}
	return []kindOfHooks{
		//lint:ignore SA1019 deprecated hooks are in use
		{hookPrestart, h.Prestart},
		{hookCreateRuntime, h.CreateRuntime}, {hookCreateContainer, h.CreateContainer},
		{hookStartContainer, h.StartContainer}, {hookPoststart, h.Poststart}, {hookPoststop, h.Poststop},
	}
}

// checkHooks refuses hooks that cannot be run.
func checkHooks(h *specs.Hooks) error {
	for _, kind := range kindsOfHooks(h) {
		for i, hook := range kind.list {
			where := fmt.Sprintf("hooks.%s[%d]", kind.name, i)
			text := strings.Join(append(append([]string{hook.Path}, hook.Args...), hook.Env...), "")
			switch {
			case !path.IsAbs(hook.Path):
				return fmt.Errorf("%s.path %q: give an absolute path", where, hook.Path)
			case hook.Timeout != nil && *hook.Timeout <= 0:
				return fmt.Errorf("%s.timeout %d: give a number of seconds above zero, or leave it out", where, *hook.Timeout)
			case strings.ContainsRune(text, 0):
				return fmt.Errorf("%s: contains a NUL character", where)
			}
		}
	}
	return nil
}

// stateFor is what a hook reads from its standard input.
func (c *Container) stateFor(status specs.ContainerState, pid int) []byte {
	s := specs.State{
		Version: c.record.OCIVersion, ID: c.record.ID, Status: status, Pid: pid,
		Bundle: c.record.Bundle, Annotations: c.record.Annotations,
	}
	data, err := json.Marshal(&s)
	if err != nil {
		panic(err) // strings and numbers
	}
	return data
}

// runHooks runs hooks in the runtime's namespaces, one after the other, until
// one fails.
func (c *Container) runHooks(ctx context.Context, kind string, list []specs.Hook, state []byte) error {
	for i := range list {
		if err := runHook(ctx, &list[i], state, c.record.Bundle); err != nil {
			return fmt.Errorf("%s hook %s: %w", kind, list[i].Path, err)
		}
	}
	return nil
}

// runHook runs one hook in the bundle's directory. Its output is for the error
// alone. Files instead of pipes: what a hook leaves running keeps nobody
// waiting.
func runHook(ctx context.Context, h *specs.Hook, state []byte, dir string) error {
	in, err := memory("state", state)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := memory("output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	limited := ctx
	if h.Timeout != nil {
		var cancel func()
		limited, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(limited, h.Path)
	cmd.Args, cmd.Env, cmd.Dir = hookArgs(h), append([]string{}, h.Env...), dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	// What it has started is killed with it when it takes too long.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err = cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		return hookTimeout(h)
	}
	return fmt.Errorf("%w%s", err, outputOf(out))
}

func hookTimeout(h *specs.Hook) error {
	return fmt.Errorf("it took longer than its timeout of %d s and was killed: %w", *h.Timeout, context.DeadlineExceeded)
}

// hookArgs are a hook's arguments, with that by which it is called.
func hookArgs(h *specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

// memory makes a file in memory that is at its beginning.
func memory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("peapod-"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory (memfd_create): %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := fillMemory(f, content); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func fillMemory(f *os.File, content []byte) error {
	_, err := f.WriteAt(content, 0)
	return err
}

// outputOf is the end of what a hook wrote, behind a colon.
func outputOf(f *os.File) string {
	const most = 2048
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b := make([]byte, min(info.Size(), most))
	n, _ := f.ReadAt(b, info.Size()-int64(len(b)))
	if text := bytes.TrimSpace(b[:n]); len(text) > 0 {
		return ": " + string(text)
	}
	return ""
}

// poststart runs the hooks that follow a start. Should one fail the container
// is stopped (runtime-spec, "Lifecycle", step 9).
func (c *Container) poststart(ctx context.Context) error {
	if c.record.Hooks == nil {
		return nil
	}
	err := c.runHooks(ctx, hookPoststart, c.record.Hooks.Poststart, c.stateFor(specs.StateRunning, c.process.PID))
	if err == nil {
		return nil
	}
	stop := context.WithoutCancel(ctx)
	if kill := c.killAll(unix.SIGKILL); kill != nil && !errors.Is(kill, ErrNotRunning) {
		c.runtime.log().Warn("the container's processes are not killed", "id", c.ID(), "error", kill)
	}
	return errors.Join(err, c.end(stop))
}

// poststop runs the hooks that follow a deletion. One that fails is told and
// keeps nothing from going on (step 13).
func (c *Container) poststop(ctx context.Context) {
	if c.record.Hooks == nil {
		return
	}
	state := c.stateFor(specs.StateStopped, 0)
	for i := range c.record.Hooks.Poststop {
		if err := c.runHooks(ctx, hookPoststop, c.record.Hooks.Poststop[i:i+1], state); err != nil {
			c.runtime.log().Warn("a hook failed", "id", c.ID(), "error", err)
		}
	}
}

// hookError says which hook it was that a container's program gave up for, and
// why; other errors stay as they are.
func hookError(err error, h *specs.Hooks, output *os.File) error {
	var gaveUp *program.GaveUp
	if h == nil || !errors.As(err, &gaveUp) {
		return err
	}
	kind, list, i := hookCreateContainer, h.CreateContainer, int(gaveUp.Code)
	if i >= len(list) {
		kind, list, i, output = hookStartContainer, h.StartContainer, i-len(list), nil
	}
	if i >= len(list) {
		return err
	}
	why := error(statusError(gaveUp.Value))
	if gaveUp.Value == hookTimedOut {
		why = hookTimeout(&list[i])
	}
	said := ""
	if output != nil {
		said = outputOf(output)
	}
	return fmt.Errorf("%s hook %s: %w%s", kind, list[i].Path, why, said)
}

// hookTimedOut is no status that wait4 reports.
const hookTimedOut = 1 << 32

// statusError is a status that is not success.
type statusError uint32

func (s statusError) Error() string {
	w := syscall.WaitStatus(s)
	if w.Signaled() {
		return "killed by " + unix.SignalName(w.Signal())
	}
	return fmt.Sprintf("exit status %d", w.ExitStatus())
}
