package integration

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Containers of ordinary users have filters, with no_new_privs and without.
func TestSeccompRootless(t *testing.T) {
	o := newOrdinary(t)
	for _, only := range []bool{true, false} {
		bundle := o.bundle(func(s *specs.Spec) {
			s.Process.NoNewPrivileges = only
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: refusing(specs.ActErrno, "getpriority")}
		}, "syscall", fmt.Sprint(unix.SYS_GETPRIORITY), ";", "status", "Seccomp")
		if got := o.peapod("run", "--bundle", bundle, newName(t)).ok(); got != "EPERM\n2" {
			t.Errorf("no_new_privs %v: %q", only, got)
		}
	}
	bundle := o.bundle(func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: refusing(specs.ActNotify, "getpriority"), ListenerPath: "/none"}
	})
	o.peapod("run", "--bundle", bundle, newName(t)).wants(1, "linux.seccomp: SCMP_ACT_NOTIFY is not supported for ordinary users yet")
}
