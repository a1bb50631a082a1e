package seccomp

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// action is what a filter returns: one of the kernel's actions and 16 bits of
// data (SECCOMP_RET_*, seccomp(2)).
type action uint32

const (
	actionMask = 0xffff0000
	dataMask   = 0x0000ffff
	maxErrno   = 4095 // what the kernel makes of a higher one

	retENOSYS = action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	retKill   = action(unix.SECCOMP_RET_KILL_THREAD)
)

// actions are those of profiles. SCMP_ACT_KILL has always been that of the thread.
var actions = [...]struct {
	name specs.LinuxSeccompAction
	ret  action
}{
	{specs.ActAllow, unix.SECCOMP_RET_ALLOW}, {specs.ActErrno, unix.SECCOMP_RET_ERRNO},
	{specs.ActKill, unix.SECCOMP_RET_KILL_THREAD}, {specs.ActKillThread, unix.SECCOMP_RET_KILL_THREAD},
	{specs.ActKillProcess, unix.SECCOMP_RET_KILL_PROCESS}, {specs.ActTrap, unix.SECCOMP_RET_TRAP},
	{specs.ActTrace, unix.SECCOMP_RET_TRACE}, {specs.ActLog, unix.SECCOMP_RET_LOG},
	{specs.ActNotify, unix.SECCOMP_RET_USER_NOTIF},
}

// parseAction returns the action called name with its data, EPERM where nothing
// is said, as the specification has it. Errors are
// of field or errnoField.
func parseAction(name specs.LinuxSeccompAction, errno *uint, field, errnoField string) (action, error) {
	if name == "" {
		return 0, wrong(field, "is missing: say what to do, such as SCMP_ACT_ERRNO")
	}
	for _, a := range actions {
		if a.name != name {
			continue
		}
		limit := uint(0)
		switch a.ret {
		case unix.SECCOMP_RET_ERRNO:
			limit = maxErrno
		case unix.SECCOMP_RET_TRACE:
			limit = dataMask
		}
		switch {
		case limit == 0 && errno != nil:
			return 0, wrong(errnoField, "%s has no number to return: leave it out", name)
		case limit == 0:
			return a.ret, nil
		case errno == nil:
			return a.ret | action(unix.EPERM), nil
		case *errno > limit:
			return 0, wrong(errnoField, "%d is too much for %s: give at most %d", *errno, name, limit)
		}
		return a.ret | action(*errno), nil
	}
	return 0, wrong(field, "there is no action %q: give SCMP_ACT_ALLOW, _ERRNO, _KILL, _KILL_PROCESS, _KILL_THREAD, _LOG, _NOTIFY, _TRACE or _TRAP", name)
}

// permissive tells whether the call is made, or who traces decides: new calls
// need no ENOSYS then.
func (a action) permissive() bool {
	switch a & actionMask {
	case unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE:
		return true
	}
	return false
}

func (a action) String() string {
	for _, known := range actions {
		if known.ret != a&actionMask || known.name == specs.ActKill {
			continue
		}
		name := string(known.name)[len("SCMP_ACT_"):]
		switch known.ret {
		case unix.SECCOMP_RET_ERRNO:
			errno := unix.ErrnoName(unix.Errno(a & dataMask))
			if errno == "" {
				errno = fmt.Sprint(uint32(a & dataMask))
			}
			return name + "(" + errno + ")"
		case unix.SECCOMP_RET_TRACE:
			return fmt.Sprintf("%s(%d)", name, uint32(a&dataMask))
		}
		return name
	}
	return fmt.Sprintf("%#x", uint32(a))
}
