package kernel

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// CheckDetached tells whether something can be mounted in a tree that belongs to no
// mount namespace: an *Error where the kernel is too old. It asks once, by two file
// systems in memory, and needs CAP_SYS_ADMIN; without that it is nil.
var CheckDetached = sync.OnceValue(func() error {
	under, err := memory()
	if err != nil {
		return nil // what comes next says it better
	}
	defer unix.Close(under)
	over, err := memory()
	if err != nil {
		return nil
	}
	defer unix.Close(over)
	if err := unix.MoveMount(over, "", under, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return &Error{"mounting in a tree that belongs to no mount namespace (move_mount)", "6.15", err.(unix.Errno)}
	}
	return nil
})

// memory makes a file system in memory, mounted nowhere.
func memory() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig: %w", err)
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}
