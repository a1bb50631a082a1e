package runtime

import (
	"bytes"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// allCPUs asks for all CPUs, which the kernel reduces to those of the cgroup. It
// takes back what taskset(1) or an engine did to its own threads. And before Linux
// 6.3 and 6.1.25 (42a11bf5c543; 5.15 has never got it), a process that is born in a
// group of v2 goes on with its parent's CPUs until it asks for others. A filter of
// system calls around peapod may forbid to ask (systemd's without @resources).
func allCPUs(p *program.Program) {
	mask := bytes.Repeat([]byte{0xff}, 1024) // 8192 CPUs, the most that the kernel has
	p.Call(unix.SYS_SCHED_SETAFFINITY, program.Int(0), program.Int(len(mask)), p.Bytes(mask, "{all CPUs}")).
		Tolerate(unix.EPERM).For("allow", "all CPUs")
}
