package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// filtered makes a bundle with a profile that permits what Go programs need, but
// for what rules say.
func filtered(t *testing.T, otherwise specs.LinuxSeccompAction, rules []specs.LinuxSyscall, args ...string) string {
	return newBundle(t, func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: otherwise, Syscalls: rules,
			Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM},
		}
	}, args...)
}

func refusing(action specs.LinuxSeccompAction, names ...string) []specs.LinuxSyscall {
	return []specs.LinuxSyscall{{Names: names, Action: action}}
}

func systemCall(nr int, args ...string) []string {
	return append([]string{"syscall", fmt.Sprint(nr)}, args...)
}

func TestSeccompActions(t *testing.T) {
	if got := runBundle(t, filtered(t, specs.ActAllow, refusing(specs.ActErrno, "getpriority", "no_such_call"), systemCall(unix.SYS_GETPRIORITY)...)).ok(); got != "EPERM" {
		t.Errorf("a call with ERRNO: %q", got)
	}
	for action, code := range map[specs.LinuxSeccompAction]int{specs.ActKillProcess: 128 + 31, specs.ActTrap: 2} {
		// Go ends with 2 by a SIGSYS that it can catch.
		runBundle(t, filtered(t, specs.ActAllow, refusing(action, "getpriority"), systemCall(unix.SYS_GETPRIORITY)...)).wants(code)
	}
	runBundle(t, filtered(t, specs.ActKillProcess, refusing(specs.ActAllow, "execve", "rseq_slice_yield"), "echo", "x")).wants(128 + 31)
	runBundle(t, filtered(t, specs.ActErrno, refusing(specs.ActAllow, "execve"), "echo", "x")).wants(128 + 11) // Go does not get far
}

func runBundle(t *testing.T, bundle string) *result {
	t.Helper()
	return peapod(t, "run", "--bundle", bundle, newName(t))
}

// create, start and exec are under the filter, too.
func TestSeccompLater(t *testing.T) {
	id := newName(t)
	bundle := filtered(t, specs.ActAllow, refusing(specs.ActErrno, "getpriority"), "wait")
	peapod(t, "create", "--bundle", bundle, id).ok()
	t.Cleanup(func() { peapod(t, "delete", "--force", id) })
	peapod(t, "exec", id, "probe", "syscall", fmt.Sprint(unix.SYS_GETPRIORITY)).wants(0, "")
	peapod(t, "start", id).ok()
	got := peapod(t, "exec", id, "probe", "syscall", fmt.Sprint(unix.SYS_GETPRIORITY), ";", "status", "Seccomp").ok()
	if got != "EPERM\n2" {
		t.Errorf("exec: %q", got)
	}
}

func TestSeccompPlan(t *testing.T) {
	bundle := filtered(t, specs.ActErrno, append(refusing(specs.ActAllow, "execve", "openat2", "no_such_call"), specs.LinuxSyscall{
		Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Value: 0x7e020000, Op: specs.OpMaskedEqual}},
	}))
	list := peapod(t, "plan", bundle).ok()
	for _, want := range []string{
		"seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, {", "# ALLOW: execve, openat2\n", "# ALLOW if arg0 & 0x7e020000 == 0x0: clone\n",
		"that are newer than openat2 (437)\n", "# ERRNO(EPERM): all others\n", "no such calls: no_such_call",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	bad := filtered(t, specs.ActErrno, refusing("SCMP_ACT_DENY", "read"))
	peapod(t, "plan", bad).wants(1, `linux.seccomp.syscalls[0].action: there is no action "SCMP_ACT_DENY"`)
	runBundle(t, bad).wants(1, "linux.seccomp.syscalls[0].action")
}

// Pods have the engines' profile where they say nothing.
func TestSeccompPod(t *testing.T) {
	calls := []string{"syscall", fmt.Sprint(unix.SYS_KEYCTL), "1099511627775", ";", "syscall", fmt.Sprint(unix.SYS_CLONE3), ";", "syscall", "100000"}
	free := probing(calls...)
	free["securityContext"] = map[string]any{"seccompProfile": map[string]any{"type": "Unconfined"}}
	own := probing(calls...)
	own["securityContext"] = map[string]any{"seccompProfile": map[string]any{"type": "Localhost", "localhostProfile": "own.json"}}
	_, path := podSpec(t, probing(calls...), free, own)
	writeJSON(t, filepath.Join(filepath.Dir(path), "own.json"), map[string]any{
		"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls":      []any{map[string]any{"names": []string{"keyctl"}, "action": "SCMP_ACT_ERRNO", "errnoRet": int(unix.ENOTNAM)}},
	})
	out := peapod(t, "pod", "run", path).ok()
	for name, want := range map[string]string{"a": "EPERM ENOSYS ENOSYS", "b": "ENOTSUP EINVAL ENOSYS", "c": "ENOTNAM EINVAL ENOSYS"} {
		var got []string
		for line := range strings.Lines(out) {
			if prefix, text, ok := strings.Cut(line, "|"); ok && strings.TrimSpace(prefix) == name {
				got = append(got, strings.TrimSpace(text))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q in\n%s", name, got, want, out)
		}
	}
	writeJSON(t, filepath.Join(filepath.Dir(path), "own.json"), map[string]any{"defaultAction": "deny"})
	peapod(t, "pod", "run", path).wants(1, path+":1:", "own.json:1:", "defaultAction: there is no action")
}

// An agent that a profile names decides about calls, of run and of exec.
func TestSeccompAgent(t *testing.T) {
	agent := testkit.NewAgent(t)
	id := newName(t)
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Syscalls: refusing(specs.ActNotify, "getpriority"), ListenerPath: agent.Path, ListenerMetadata: "mine",
		}
	}, "wait")
	first := agent.Serve()
	peapod(t, "run", "--detach", "--bundle", bundle, id).ok()
	t.Cleanup(func() { peapod(t, "delete", "--force", id) })
	second := agent.Serve()
	if got := peapod(t, "exec", id, "probe", "syscall", fmt.Sprint(unix.SYS_GETPRIORITY)).ok(); got != "ENOTNAM" {
		t.Errorf("exec: %q", got)
	}
	if s := (<-second).State; s.Metadata != "mine" || s.State.ID != id || s.State.Status != specs.StateRunning {
		t.Errorf("the agent got %+v", s)
	}
	pid := stateOf(t, id).Pid
	peapod(t, "kill", id, "KILL").ok()
	if s := (<-first).State; s.Pid != pid || s.State.Bundle != bundle {
		t.Errorf("the agent got %+v of process %d", s, pid)
	}
}
