package runtime

import (
	"encoding/binary"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// attributes are what the kernel's schedulers and allocators are told about a
// process, checked.
type attributes struct {
	scheduler []byte // struct sched_attr; nil where nothing is asked for
	priority  int    // ioprio_set(2); 0 where nothing is
	affinity  affinity
	domain    int // personality(2); -1 where nothing is
	memory    *memoryPolicy
}

func parseAttributes(p *specs.Process) (a attributes, err error) {
	a.domain = -1
	if a.scheduler, err = parseScheduler(p.Scheduler); err != nil {
		return a, err
	}
	if a.priority, err = parsePriority(p.IOPriority); err != nil {
		return a, err
	}
	if c := p.ExecCPUAffinity; c != nil {
		if a.affinity.initial, err = parseOptional("process.execCPUAffinity.initial", c.Initial); err != nil {
			return a, err
		}
		a.affinity.final, err = parseOptional("process.execCPUAffinity.final", c.Final)
	}
	return a, err
}

func parseOptional(field, s string) (bitList, error) {
	if s == "" {
		return nil, nil
	}
	list, err := parseBitList(s)
	if err != nil {
		return nil, fmt.Errorf("%s %w", field, err)
	}
	return list, nil
}

// schedulers have the kernel's numbers (linux/sched.h).
var schedulers = [...]struct {
	name   specs.LinuxSchedulerPolicy
	number uint32
}{
	{specs.SchedOther, unix.SCHED_NORMAL}, {specs.SchedFIFO, unix.SCHED_FIFO}, {specs.SchedRR, unix.SCHED_RR},
	{specs.SchedBatch, unix.SCHED_BATCH}, {specs.SchedISO, 4}, {specs.SchedIdle, unix.SCHED_IDLE}, {specs.SchedDeadline, unix.SCHED_DEADLINE},
}

// schedulerFlags are in the order of their bits.
var schedulerFlags = [...]specs.LinuxSchedulerFlag{
	specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
	specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
}

// parseScheduler lays struct sched_attr out (sched_setattr(2)).
func parseScheduler(s *specs.Scheduler) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	policy, ok := uint32(0), false
	for _, k := range schedulers {
		if k.name == s.Policy {
			policy, ok = k.number, true
		}
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	deadline := s.Policy == specs.SchedDeadline
	switch {
	case !ok:
		return nil, fmt.Errorf("process.scheduler.policy %q: give SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE or SCHED_DEADLINE", s.Policy)
	case s.Nice < -20 || s.Nice > 19:
		return nil, fmt.Errorf("process.scheduler.nice %d: give a number from -20 to 19", s.Nice)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return nil, fmt.Errorf("process.scheduler.priority %d: give a number from 1 to 99 for %s", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		return nil, fmt.Errorf("process.scheduler.priority %d: is for SCHED_FIFO and SCHED_RR only", s.Priority)
	case !deadline && s.Runtime|s.Deadline|s.Period != 0:
		return nil, fmt.Errorf("process.scheduler: runtime, deadline and period are for SCHED_DEADLINE only")
	}
	flags := uint64(0)
	for i, name := range s.Flags {
		bit := indexOf(schedulerFlags[:], name)
		if bit < 0 {
			return nil, fmt.Errorf("process.scheduler.flags[%d] %q: there is no such flag (sched_setattr(2) has the names)", i, name)
		}
		flags |= 1 << bit
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, unix.SizeofSchedAttr)
	b = le.AppendUint32(b, policy)
	b = le.AppendUint64(b, flags)
	b = le.AppendUint32(b, uint32(s.Nice))
	b = le.AppendUint32(b, uint32(s.Priority))
	for _, n := range []uint64{s.Runtime, s.Deadline, s.Period, 0} { // the last: util_min and util_max
		b = le.AppendUint64(b, n)
	}
	return b, nil
}

func indexOf[T comparable](list []T, v T) int {
	for i := range list {
		if list[i] == v {
			return i
		}
	}
	return -1
}

// parsePriority is the priority as ioprio_set(2) takes it.
func parsePriority(p *specs.LinuxIOPriority) (int, error) {
	if p == nil {
		return 0, nil
	}
	class := indexOf([]specs.IOPriorityClass{"", specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}, p.Class)
	switch {
	case class <= 0:
		return 0, fmt.Errorf("process.ioPriority.class %q: give IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE", p.Class)
	case p.Priority < 0 || p.Priority > 7:
		return 0, fmt.Errorf("process.ioPriority.priority %d: give a number from 0 (highest) to 7", p.Priority)
	}
	return class<<13 | p.Priority, nil
}

// ofContainer adds what linux says about all processes of the container.
func (a *attributes) ofContainer(persona *specs.LinuxPersonality, policy *specs.LinuxMemoryPolicy) (err error) {
	if persona != nil {
		switch {
		case len(persona.Flags) > 0:
			return fmt.Errorf("linux.personality.flags: the specification has none: leave them out")
		case persona.Domain == specs.PerLinux:
			a.domain = 0
		case persona.Domain == specs.PerLinux32:
			a.domain = 8 // PER_LINUX32
		default:
			return fmt.Errorf("linux.personality.domain %q: give LINUX or LINUX32", persona.Domain)
		}
	}
	a.memory, err = parseMemoryPolicy(policy)
	return err
}

// set appends what the process is to have, while it may do all.
func (a *attributes) set(p *program.Program) {
	if a.scheduler != nil {
		p.Call(unix.SYS_SCHED_SETATTR, program.Int(0), p.Bytes(a.scheduler, "&sched_attr"), program.Int(0)).For("set", "process.scheduler")
	}
	if a.priority != 0 {
		const process = 1 // IOPRIO_WHO_PROCESS
		p.Call(unix.SYS_IOPRIO_SET, program.Sym(process, "IOPRIO_WHO_PROCESS"), program.Int(0), program.Int(a.priority)).For("set", "process.ioPriority")
	}
	if a.domain >= 0 {
		p.Call(unix.SYS_PERSONALITY, program.Int(a.domain)).For("set", "linux.personality")
	}
	if a.memory != nil {
		a.memory.set(p)
	}
}
