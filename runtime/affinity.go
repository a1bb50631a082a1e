package runtime

import (
	"fmt"
	goruntime "runtime"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// affinity are the CPUs that an executed process runs on: at first, before it is
// in the container's cgroup, and then (runtime-spec, "execCPUAffinity").
type affinity struct{ initial, final bitList }

// on runs f, which starts a process, on a thread that runs on the CPUs of list;
// the process inherits them. Without any it only calls f.
func (list bitList) on(f func() error) error {
	if len(list) == 0 {
		return f()
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	var before, now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("process.execCPUAffinity.initial: %w", err)
	}
	for i := range list {
		for bit := range 64 {
			if list[i]>>bit&1 != 0 {
				now.Set(64*i + bit)
			}
		}
	}
	if err := unix.SchedSetaffinity(0, &now); err != nil {
		return fmt.Errorf("process.execCPUAffinity.initial: %w: none of these CPUs may be used", err)
	}
	defer unix.SchedSetaffinity(0, &before)
	return f()
}

// set appends the change to the CPUs of list.
func (list bitList) set(p *program.Program) {
	if len(list) == 0 {
		return
	}
	mask := list.bytes()
	p.Call(unix.SYS_SCHED_SETAFFINITY, program.Int(0), program.Int(len(mask)), p.Bytes(mask, fmt.Sprintf("%#x", []uint64(list)))).
		For("set", "process.execCPUAffinity.final")
}
