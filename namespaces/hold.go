package namespaces

import (
	"context"
	"os"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// Hold starts a process in the network namespace ns, and in the user namespace
// that it belongs to where that is not the caller's, and returns its pid: for
// programs that find a namespace by a process only. It has no privilege, so that
// they need none to look at it, and ends with release or the caller.
func Hold(ctx context.Context, ns *os.File) (pid int, release func(), err error) {
	p := program.New()
	p.CloseOthers()
	if foreign(ns) {
		if err := enterSteps(p, ns); err != nil {
			return 0, nil, err
		}
	} else {
		p.Call(unix.SYS_SETNS, p.File(ns, "namespace"), program.Int(0)).For("join", fileTarget(ns))
	}
	header := p.Bytes([]byte{0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0}, "{_LINUX_CAPABILITY_VERSION_3}")
	p.Call(unix.SYS_CAPSET, header, p.Bytes(make([]byte, 24), "{}")).For("drop", "all capabilities")
	p.Call(unix.SYS_PRCTL, program.Sym(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), program.Int(1))
	p.Sync("held")
	p.Exit(0)
	proc, err := p.Start(&program.Attr{Dir: os.TempDir()})
	if err != nil {
		return 0, nil, err
	}
	if _, err := proc.Next(ctx); err != nil {
		proc.Abort()
		return 0, nil, fail("hold", fileTarget(ns), err)
	}
	return proc.Pid, func() { proc.Abort() }, nil
}
