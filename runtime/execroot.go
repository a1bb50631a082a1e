package runtime

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// ownMounts tells whether a mount namespace is among the new ones, so that who joins
// it is in the container's root.
func ownMounts(list []specs.LinuxNamespace) bool {
	for _, ns := range list {
		if ns.Type == specs.MountNamespace {
			return ns.Path == ""
		}
	}
	return false
}

// root opens the root of the container's first process, whose pidfd is target: nil
// where that of its mount namespace is the same.
func (c *Container) root(target *os.File) (*os.File, error) {
	if ownMounts(c.record.Namespaces) {
		return nil, nil
	}
	path := fmt.Sprintf("/proc/%d/root", c.process.PID)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	// The pid was the process's if it is so still.
	if e := unix.PidfdSendSignal(int(target.Fd()), 0, nil, 0); e != nil {
		if err == nil {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("%w: cannot exec in a stopped container", ErrNotRunning)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// enterRoot appends what makes root the process's.
func enterRoot(p *program.Program, root program.Value) {
	p.Call(unix.SYS_FCHDIR, root).For("enter", "the container's root")
	p.Call(unix.SYS_CHROOT, p.Str(".")).For("change root", "")
	p.Call(unix.SYS_CHDIR, p.Str("/")).For("change directory to", "/")
}
