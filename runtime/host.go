package runtime

import (
	"fmt"
	"os"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/kernel"
	"golang.org/x/sys/unix"
)

// KernelError tells which system call the kernel lacks, or somebody forbids.
// errors.Is finds unix.ENOSYS or unix.EPERM.
type KernelError = kernel.Error

// CheckHost tells in one line why containers cannot be made here: the caller is
// not root (unix.EPERM), or a system call is missing (*KernelError). Create, Run
// and Exec begin with it; it takes 2 µs, once.
func CheckHost() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: containers need root: run it with sudo", unix.EPERM)
	}
	return checkKernel()
}

func checkKernel() error {
	if err := kernel.Check(); err != nil {
		return err
	}
	if mode, err := cgroups.HostMode(); err == nil && mode != cgroups.V1 {
		return kernel.CheckClone3()
	}
	return nil
}
