// Command deny executes a command under a seccomp filter that refuses one
// system call, or that with a first argument of 32 bits:
//
//	deny NUMBER[:ARGUMENT] ERRNO COMMAND [ARG...]
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := deny(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "deny:", err)
		os.Exit(120)
	}
}

func deny(call, errno string, command []string) error {
	number, argument, some := strings.Cut(call, ":")
	nr, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return err
	}
	first := uint64(0)
	if some {
		if first, err = strconv.ParseUint(argument, 10, 32); err != nil {
			return err
		}
	}
	e, err := strconv.ParseUint(errno, 10, 12)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is the thread's that executes
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	// struct seccomp_data: the number, then at 16 the arguments, of 8 bytes.
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unlessEqual := func(k uint64, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(k), Jf: skip}
	}
	filter := []unix.SockFilter{load(0), unlessEqual(nr, 1)}
	if some {
		filter = []unix.SockFilter{load(0), unlessEqual(nr, 3), load(16), unlessEqual(first, 1)}
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(e)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, failed := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		return fmt.Errorf("seccomp: %w", failed)
	}
	return unix.Exec(command[0], command, os.Environ())
}
