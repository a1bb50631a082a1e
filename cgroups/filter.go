package cgroups

import "encoding/binary"

// The device filter of v2 is a BPF program that the kernel asks at every
// mknod(2) and open(2) of a device node (BPF_PROG_TYPE_CGROUP_DEVICE, since
// 4.15). It gets {access<<16 | type, major, minor} and answers 1 to allow.

// instruction is struct bpf_insn.
type instruction struct {
	code     byte
	dst, src byte
	off      int16
	imm      int32
}

// Operation codes of linux/bpf_common.h and linux/bpf.h.
const (
	loadWord    = 0x61 // dst = *(u32 *)(src + off)
	moveImm     = 0xb7 // dst = imm
	moveReg     = 0xbf // dst = src
	andImm      = 0x57 // dst &= imm
	shiftRight  = 0x77 // dst >>= imm
	jumpEqual   = 0x15 // if dst == imm, skip off
	jumpUnequal = 0x55 // if dst != imm, skip off
	exit        = 0x95 // answer r0
)

// The registers: what is asked for, and room for the answer.
const (
	regAnswer, regArgument, regKind, regWanted, regMajor, regMinor = 0, 1, 2, 3, 4, 5
)

// filter compiles the rules. From the last rule to the first, each allowing
// rule strikes its accesses off what is wanted; nothing left means yes, and a
// forbidding rule that speaks of what is left means no. So "rw" may be
// allowed by two rules, and is not allowed by one that says "r".
func (d *deviceRules) filter() []instruction {
	code := []instruction{
		{code: loadWord, dst: regKind, src: regArgument},
		{code: moveReg, dst: regWanted, src: regKind},
		{code: andImm, dst: regKind, imm: 0xffff},
		{code: shiftRight, dst: regWanted, imm: 16},
		{code: loadWord, dst: regMajor, src: regArgument, off: 4},
		{code: loadWord, dst: regMinor, src: regArgument, off: 8},
	}
	for i := len(d.list) - 1; i >= 0; i-- {
		code = append(code, d.list[i].block()...)
	}
	return append(code, reply(d.allow)...)
}

// block is the code of one rule; its jumps lead behind it.
func (r deviceRule) block() []instruction {
	kind := int32(2) // BPF_DEVCG_DEV_CHAR
	if r.kind == 'b' {
		kind = 1 // BPF_DEVCG_DEV_BLOCK
	}
	code := []instruction{{code: jumpUnequal, dst: regKind, imm: kind}}
	if r.major != anyNumber {
		code = append(code, instruction{code: jumpUnequal, dst: regMajor, imm: int32(r.major)})
	}
	if r.minor != anyNumber {
		code = append(code, instruction{code: jumpUnequal, dst: regMinor, imm: int32(r.minor)})
	}
	switch {
	case r.access == mayAll:
	case r.allow:
		code = append(code,
			instruction{code: andImm, dst: regWanted, imm: int32(mayAll &^ r.access)},
			instruction{code: jumpUnequal, dst: regWanted, imm: 0})
	default:
		code = append(code,
			instruction{code: moveReg, dst: regAnswer, src: regWanted},
			instruction{code: andImm, dst: regAnswer, imm: int32(r.access)},
			instruction{code: jumpEqual, dst: regAnswer, imm: 0})
	}
	code = append(code, reply(r.allow)...)
	for i := range code {
		if code[i].code == jumpUnequal || code[i].code == jumpEqual {
			code[i].off = int16(len(code) - i - 1)
		}
	}
	return code
}

func reply(allow bool) []instruction {
	var n int32
	if allow {
		n = 1
	}
	return []instruction{{code: moveImm, dst: regAnswer, imm: n}, {code: exit}}
}

// encode lays the instructions out as the kernel takes them, in the byte order
// of the machine: peapod's two architectures are both little-endian.
func encode(code []instruction) []byte {
	out := make([]byte, 0, 8*len(code))
	for _, i := range code {
		out = append(out, i.code, i.dst|i.src<<4)
		out = binary.LittleEndian.AppendUint16(out, uint16(i.off))
		out = binary.LittleEndian.AppendUint32(out, uint32(i.imm))
	}
	return out
}
