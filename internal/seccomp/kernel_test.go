package seccomp

import (
	"runtime"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// under loads the profile on a thread of its own and calls f there. The thread
// is not used again.
func under(t *testing.T, s *specs.LinuxSeccomp, f func()) {
	t.Helper()
	filter := mustCompile(t, s, runtime.GOARCH)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- load(filter, f)
	}()
	if err := <-done; err != nil {
		t.Fatal("load the filter: ", err)
	}
}

func load(filter *Filter, f func()) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter.Code)), Filter: &filter.Code[0]}
	if _, _, err := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(filter.Flags), uintptr(unsafe.Pointer(&program))); err != 0 {
		return err
	}
	f()
	return nil
}

// The kernel takes what is compiled and decides the same.
func TestKernel(t *testing.T) {
	errno := uint(unix.ENOTNAM)
	edge := uint64(1)<<40 | 7
	for op, passes := range map[specs.LinuxSeccompOperator][3]bool{ // below, at and above the edge
		specs.OpEqualTo: {false, true, false}, specs.OpNotEqual: {true, false, true},
		specs.OpLessThan: {true, false, false}, specs.OpLessEqual: {true, true, false},
		specs.OpGreaterThan: {false, false, true}, specs.OpGreaterEqual: {false, true, true},
	} {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"getpriority"}, Action: specs.ActErrno, ErrnoRet: &errno,
			Args: []specs.LinuxSeccompArg{{Index: 3, Op: op, Value: edge}},
		}}}
		under(t, s, func() {
			for i, values := range [3][]uint64{{0, edge - 1, 8}, {edge}, {edge + 1, 1<<41 | 6, ^uint64(0)}} {
				for _, v := range values {
					_, _, err := unix.RawSyscall6(unix.SYS_GETPRIORITY, unix.PRIO_PROCESS, 0, 0, uintptr(v), 0, 0)
					if want := passes[i]; (err == unix.ENOTNAM) != want {
						t.Errorf("%s with %#x: %v, refused should be %v", op, v, err, want)
					}
				}
			}
		})
	}
}

// Threads of Go live with the default profile, and it refuses what it should.
func TestKernelDefault(t *testing.T) {
	under(t, Default(runtime.GOARCH, nil), func() {
		for _, c := range []struct {
			number, arg uintptr
			want        unix.Errno
		}{
			{unix.SYS_GETPID, 0, 0},
			{unix.SYS_PERSONALITY, 0xffffffff, 0},
			{unix.SYS_PERSONALITY, 0x1234567, unix.EPERM},
			{unix.SYS_KEYCTL, ^uintptr(0), unix.EPERM}, // else EOPNOTSUPP
			{unix.SYS_SETNS, ^uintptr(0), unix.EPERM},  // else EBADF
			{unix.SYS_CLONE3, 0, unix.ENOSYS},          // else EINVAL
			{100000, 0, unix.ENOSYS},
		} {
			if _, _, err := unix.RawSyscall(c.number, c.arg, 0, 0); err != c.want {
				t.Errorf("call %d with %#x: %v, want %v", c.number, c.arg, err, c.want)
			}
		}
	})
}
