package runtime

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// memoryPolicy says which memory nodes a process's memory comes from.
type memoryPolicy struct {
	mode  uint32
	nodes bitList
	name  string
}

// memoryModes are in the order of the kernel's numbers (linux/mempolicy.h).
var memoryModes = [...]specs.MemoryPolicyModeType{
	specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave,
	specs.MpolLocal, specs.MpolPreferredMany, specs.MpolWeightedInterleave,
}

// memoryFlags are in the order of their bits, from 1<<13 on.
var memoryFlags = [...]specs.MemoryPolicyFlagType{
	specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes,
}

func parseMemoryPolicy(m *specs.LinuxMemoryPolicy) (*memoryPolicy, error) {
	if m == nil {
		return nil, nil
	}
	mode := indexOf(memoryModes[:], m.Mode)
	if mode < 0 {
		return nil, fmt.Errorf("linux.memoryPolicy.mode %q: there is no such mode (set_mempolicy(2) has the names)", m.Mode)
	}
	p := &memoryPolicy{mode: uint32(mode), name: string(m.Mode)}
	for i, name := range m.Flags {
		bit := indexOf(memoryFlags[:], name)
		if bit < 0 {
			return nil, fmt.Errorf("linux.memoryPolicy.flags[%d] %q: there is no such flag (set_mempolicy(2) has the names)", i, name)
		}
		p.mode |= 1 << (13 + bit)
	}
	var err error
	p.nodes, err = parseOptional("linux.memoryPolicy.nodes", m.Nodes)
	return p, err
}

func (m *memoryPolicy) set(p *program.Program) {
	mask, bits := program.Null, program.Int(0)
	if len(m.nodes) > 0 {
		mask = p.Bytes(m.nodes.bytes(), fmt.Sprintf("%#x", []uint64(m.nodes)))
		bits = program.Int(64*len(m.nodes) + 1) // the kernel looks at one less
	}
	p.Call(unix.SYS_SET_MEMPOLICY, program.Sym(m.mode, m.name), mask, bits).For("set", "linux.memoryPolicy")
}
