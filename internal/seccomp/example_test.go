package seccomp_test

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/seccomp"
)

func Example() {
	profile := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "execve", "exit_group", "no_such_call"}, Action: specs.ActAllow},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{
				{Index: 0, Value: 0x7e020000, ValueTwo: 0, Op: specs.OpMaskedEqual},
			}},
		},
	}
	filter, err := seccomp.Compile(profile, "amd64")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filter.Permits("amd64", 1), filter.Permits("amd64", 2)) // write, open
	seccomp.Describe(os.Stdout, profile, "amd64", "# ")
	// Output:
	// true false
	// # seccomp filter: 36 instructions, SCMP_ARCH_X86_64, SCMP_ARCH_X86; other architectures: KILL_THREAD
	// # ALLOW: read, write, execve, exit_group
	// # ALLOW if arg0 & 0x7e020000 == 0x0: clone
	// # ERRNO(ENOSYS): calls of SCMP_ARCH_X86_64 that are newer than exit_group (231)
	// # ERRNO(ENOSYS): calls of SCMP_ARCH_X86 that are newer than exit_group (252)
	// # ERRNO(EPERM): all others
	// # left out, there are no such calls: no_such_call
}
