// Command lack executes a command without a capability:
//
//	lack NUMBER COMMAND [ARG...]
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	if err := lack(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "lack:", err)
		os.Exit(120)
	}
}

// lack takes the capability out of the bounding set: what root executes has
// what is in that.
func lack(number string, command []string) error {
	n, err := strconv.ParseUint(number, 10, 6)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the set is the thread's that executes
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
		return fmt.Errorf("drop capability %d: %w", n, err)
	}
	return unix.Exec(command[0], command, os.Environ())
}
