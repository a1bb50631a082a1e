package runtime

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/seccomp"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// denying is a profile that refuses some calls.
func denying(action specs.LinuxSeccompAction, errno unix.Errno, names ...string) *specs.LinuxSeccomp {
	rule := specs.LinuxSyscall{Names: names, Action: action}
	if errno != 0 {
		n := uint(errno)
		rule.ErrnoRet = &n
	}
	return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule}}
}

// permitting is one that refuses all but some.
func permitting(names ...string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActAllow}}}
}

func call(nr uintptr, args ...uint64) []string {
	list := []string{"syscall", fmt.Sprint(nr)}
	for _, a := range args {
		list = append(list, fmt.Sprint(a))
	}
	return list
}

// identities are processes under a filter, with no_new_privs and without.
var identities = map[string]func(p *specs.Process){
	"root":                  func(p *specs.Process) {},
	"root, no new ones":     func(p *specs.Process) { p.NoNewPrivileges = true },
	"a user":                func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000} },
	"a user, no new ones":   func(p *specs.Process) { p.User, p.NoNewPrivileges = specs.User{UID: 1000, GID: 1000}, true },
	"root, no capabilities": func(p *specs.Process) { p.Capabilities = nil },
}

// The filter holds for the process and for what is executed later, and leaves
// nobody a capability that loading it took.
func TestSeccomp(t *testing.T) {
	for name, change := range identities {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			change(s.spec.Process)
			s.spec.Linux.Seccomp = denying(specs.ActErrno, unix.ENOTNAM, "getpriority")
			o := op("status", "Seccomp")
			c := s.start(call(unix.SYS_GETPRIORITY), call(unix.SYS_GETSID), o, op("status", "CapPrm"), op("status", "CapEff"), op("status", "CapBnd"), op("wait"))
			want := []string{"ENOTNAM", "ok", "2"}
			for _, w := range want {
				if line := c.line(); line != w {
					t.Errorf("got %q, want %q", line, w)
				}
			}
			admin := uint64(1) << unix.CAP_SYS_ADMIN
			for _, set := range []string{"permitted", "effective", "bounding"} {
				var bits uint64
				if line := c.line(); !scan(line, &bits) || bits&admin != 0 {
					t.Errorf("the %s set is %s", set, line)
				}
			}
			process := *s.spec.Process
			process.Args = ops(call(unix.SYS_GETPRIORITY), o)
			if out, status := c.inside(t, &ExecOptions{Process: &process}); out != "ENOTNAM\n2" || status.Code != 0 {
				t.Errorf("exec: %q, %v", out, status)
			}
		})
	}
}

func scan(hex string, bits *uint64) bool {
	n, err := fmt.Sscanf(hex, "%x", bits)
	return n == 1 && err == nil
}

// Nothing but the execve is needed of a profile: not what sets the process up,
// nor what tells of its start.
func TestSeccompForbidsNearlyAll(t *testing.T) {
	for name, change := range identities {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			change(s.spec.Process)
			s.spec.Linux.Seccomp = permitting("execve", "rseq_slice_yield") // else what is newer than execve got ENOSYS
			s.spec.Linux.Seccomp.DefaultAction = specs.ActKillProcess
			_, status := s.start(op("echo", "x")).finish()
			if status.Signal != unix.SIGSYS {
				t.Errorf("ended by %v", status)
			}
			c := s.launch(s.options(s.id()), (*Runtime).Create)
			if err := c.Start(testkit.Soon(t)); err != nil {
				t.Error(err)
			}
			if _, status := c.finish(); status.Signal != unix.SIGSYS {
				t.Errorf("after create and start: ended by %v", status)
			}
		})
	}
}

// A command that cannot be executed is told, whatever the filter forbids.
func TestSeccompCommandMissing(t *testing.T) {
	for name, profile := range map[string]*specs.LinuxSeccomp{
		"default":   seccomp.Default(goruntime.GOARCH, nil),
		"execve":    permitting("execve"),
		"no exit":   permitting("execve", "write"),
		"forbidden": denying(specs.ActErrno, unix.EPERM, "write", "exit_group"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.spec.Process.Args = []string{"missing"}
			s.spec.Process.Env = []string{"PATH=/sbin:/bin:/usr/bin"}
			s.spec.Linux.Seccomp = profile
			_, err := s.r.Run(testkit.Soon(t), s.id(), s.options(s.id()))
			var command *CommandError
			if !errors.As(err, &command) || !errors.Is(err, unix.ENOENT) {
				t.Errorf("run: %v", err)
			}
			s.spec.Process.Args = []string{"/etc/passwd"}
			write(t, s.image+"/etc/passwd", "text")
			c := s.launch(s.options(s.id()), (*Runtime).Create)
			if err := c.Start(testkit.Soon(t)); !errors.As(err, &command) || !errors.Is(err, unix.EACCES) {
				t.Errorf("start: %v", err)
			}
		})
	}
}

// A filter that the kernel does not take is told as such: the command is not to
// blame.
func TestSeccompNotLoaded(t *testing.T) {
	s := newStage(t)
	s.spec.Linux.Seccomp = denying(specs.ActErrno, unix.EPERM, "getpriority")
	c := s.start(op("wait"))
	c.record.Seccomp.Flags = 1 << 31
	_, err := c.Exec(testkit.Soon(t), &ExecOptions{Process: command(op("echo", "x"))})
	var command *CommandError
	if !errors.Is(err, unix.EINVAL) || errors.As(err, &command) || !strings.Contains(err.Error(), "load the seccomp filter (seccomp): invalid argument") {
		t.Errorf("error %v", err)
	}
}

// Docker's profile does what its containers need.
func TestSeccompDefault(t *testing.T) {
	s := newStage(t)
	s.spec.Linux.Seccomp = seccomp.Default(goruntime.GOARCH, s.spec.Process.Capabilities.Bounding)
	for i, got := range s.run(call(unix.SYS_KEYCTL, 1<<40), call(unix.SYS_CLONE3), call(100000), call(unix.SYS_SETNS, 1<<30), op("mount", "/tmp"), op("id")) {
		if want := []string{"EPERM", "ENOSYS", "ENOSYS", "EPERM", "EPERM", "0:0 []"}[i]; got != want {
			t.Errorf("operation %d: got %q, want %q", i, got, want)
		}
	}
}
