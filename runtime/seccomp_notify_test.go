package runtime

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// An agent gets the listener of each process, also where the filter notifies it of
// the very next call, and where that is of the calls that tell it.
func TestSeccompNotify(t *testing.T) {
	agent := testkit.NewAgent(t)
	s := newStage(t)
	s.spec.Annotations = map[string]string{"a": "b"}
	s.spec.Linux.Seccomp = denying(specs.ActNotify, 0, "getpriority", "execve", "write")
	s.spec.Linux.Seccomp.ListenerPath, s.spec.Linux.Seccomp.ListenerMetadata = agent.Path, "mine"
	check := func(state specs.ContainerProcessState, status specs.ContainerState, c *container, pid int) {
		t.Helper()
		if state.State.Status != status || state.Metadata != "mine" || len(state.Fds) != 1 || state.Fds[0] != "seccompFd" ||
			state.Pid == 0 || state.State.Pid == 0 || state.State.ID == "" || state.State.Annotations["a"] != "b" || state.State.Bundle == "" {
			t.Errorf("state %+v", state)
		}
		if c != nil && (state.State.ID != c.ID() || state.State.Pid != c.process.PID || pid != 0 && pid != state.Pid) {
			t.Errorf("state %+v of %s with process %d", state, c.ID(), c.process.PID)
		}
	}
	first := agent.Serve()
	out, _ := s.start(call(unix.SYS_GETPRIORITY)).finish()
	if got := <-first; out != "ENOTNAM" || !slices.Contains(got.Calls, unix.SYS_EXECVE) || !slices.Contains(got.Calls, unix.SYS_GETPRIORITY) {
		t.Errorf("run: %q, %v", out, got.Calls)
	} else {
		check(got.State, specs.StateCreating, nil, 0)
	}

	s.spec.Process.Args = ops(call(unix.SYS_GETPRIORITY), op("wait"))
	c := s.launch(s.options(s.id()), (*Runtime).Create)
	second := agent.Serve()
	if err := c.Start(testkit.Soon(t)); err != nil {
		t.Fatal(err)
	}
	if line := c.line(); line != "ENOTNAM" {
		t.Errorf("start: %q", line)
	}
	third := agent.Serve()
	if out, _ := c.inside(t, &ExecOptions{Process: command(call(unix.SYS_GETPRIORITY))}); out != "ENOTNAM" {
		t.Errorf("exec: %q", out)
	}
	check((<-third).State, specs.StateRunning, c, 0)
	if err := c.Kill(unix.SIGKILL, true); err != nil {
		t.Error(err)
	}
	check((<-second).State, specs.StateCreated, c, c.process.PID)
}

// Without an agent nothing is left.
func TestSeccompNobodyToNotify(t *testing.T) {
	s := newStage(t)
	s.spec.Process.Args = ops(op("wait"))
	s.spec.Linux.Seccomp = denying(specs.ActNotify, 0, "getpriority")
	s.spec.Linux.Seccomp.ListenerPath = filepath.Join(s.image, "none.sock")
	_, err := s.r.Run(testkit.Soon(t), s.id(), s.options(s.id()))
	if err == nil || !strings.Contains(err.Error(), "connect to the seccomp agent at "+s.image+"/none.sock (linux.seccomp.listenerPath): no such file") {
		t.Errorf("run: %v", err)
	}
	c := s.launch(s.options(s.id()), (*Runtime).Create)
	if err := c.Start(testkit.Soon(t)); err == nil || !strings.Contains(err.Error(), "connect to the seccomp agent") {
		t.Errorf("start: %v", err)
	}
	testkit.Until(t, func() string {
		if status := c.Status(); status != specs.StateStopped {
			return "the container is " + string(status)
		}
		return ""
	})
}
