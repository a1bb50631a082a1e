package runtime

import (
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/kernel"
)

// KernelError tells which system call the kernel lacks, or somebody forbids.
// errors.Is finds unix.ENOSYS or unix.EPERM.
type KernelError = kernel.Error

// CheckHost tells in one line why containers cannot be made here: a system call
// is missing, or forbidden (*KernelError). Create, Run and Exec begin with it; it
// takes 2 µs, once. Ordinary users' containers need a user namespace (see
// namespaces.NewUser).
func CheckHost() error { return checkKernel() }

func checkKernel() error {
	if err := kernel.Check(); err != nil {
		return err
	}
	if mode, err := cgroups.HostMode(); err == nil && mode != cgroups.V1 {
		return kernel.CheckClone3()
	}
	return nil
}
