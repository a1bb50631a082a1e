// Package kernel tells, before anything is made, whether the kernel has the
// system calls that containers need.
package kernel

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Minimum is the first version of Linux that has all of them. That kernel also
// has what cannot be asked for alone: setns(2) with a pidfd (5.8) and
// CLONE_INTO_CGROUP (5.7).
const Minimum = "5.12"

// Error tells which system call is missing. errors.Is finds unix.ENOSYS, or
// unix.EPERM where somebody forbids the call.
type Error struct {
	Call    string
	Version string // the first of Linux that has it
	Err     unix.Errno
}

func (e *Error) Error() string {
	if e.Err == unix.EPERM {
		return fmt.Sprintf("%s is forbidden by a seccomp filter around this process: %v; allow it there (old versions of Docker forbid what they do not know)", e.Call, e.Err)
	}
	return fmt.Sprintf("%s is missing, which needs Linux %s (all of peapod needs %s): %v: this kernel (%s) is too old, or a seccomp filter around this process hides the call",
		e.Call, e.Version, Minimum, e.Err, release())
}

func (e *Error) Unwrap() error { return e.Err }

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// call is a system call with arguments that it refuses.
type call struct {
	name, version string
	number        uintptr
	args          [5]uintptr
	privileged    bool // EPERM may be for the want of CAP_SYS_ADMIN
}

const bad = ^uintptr(0) // no descriptor, no known flag

var calls = []call{
	{"memfd_create", "3.17", unix.SYS_MEMFD_CREATE, [5]uintptr{0, bad}, false},
	{"pidfd_send_signal", "5.1", unix.SYS_PIDFD_SEND_SIGNAL, [5]uintptr{bad, 0, 0, bad}, false},
	{"open_tree", "5.2", unix.SYS_OPEN_TREE, [5]uintptr{bad, 0, bad}, false},
	{"move_mount", "5.2", unix.SYS_MOVE_MOUNT, [5]uintptr{bad, 0, bad, 0, bad}, true},
	{"fsopen", "5.2", unix.SYS_FSOPEN, [5]uintptr{0, bad}, true},
	{"fsconfig", "5.2", unix.SYS_FSCONFIG, [5]uintptr{bad, bad}, false},
	{"fsmount", "5.2", unix.SYS_FSMOUNT, [5]uintptr{bad, bad}, true},
	{"pidfd_open", "5.3", unix.SYS_PIDFD_OPEN, [5]uintptr{0, bad}, false},
	{"openat2", "5.6", unix.SYS_OPENAT2, [5]uintptr{bad}, false},
	{"close_range", "5.9", unix.SYS_CLOSE_RANGE, [5]uintptr{1, 0, bad}, false}, // from 1 to 0
	{"mount_setattr", "5.12", unix.SYS_MOUNT_SETATTR, [5]uintptr{bad, 0, bad}, false},
}

// clone3 is asked for a process by a structure of no size.
var clone3 = call{"clone3", "5.3", unix.SYS_CLONE3, [5]uintptr{}, false}

// Check returns an *Error for a system call that is missing. It asks once, and
// takes 2 µs.
var Check = sync.OnceValue(func() error {
	for _, c := range calls {
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
})

// CheckClone3 does it for the call by which processes are born in a group of
// cgroup v2. Hosts without that do without the call.
var CheckClone3 = sync.OnceValue(clone3.check)

func (c call) check() error {
	a := c.args
	_, _, errno := unix.RawSyscall6(c.number, a[0], a[1], a[2], a[3], a[4], 0)
	if errno == unix.ENOSYS || errno == unix.EPERM && !c.privileged {
		return &Error{c.name, c.version, errno}
	}
	return nil
}
