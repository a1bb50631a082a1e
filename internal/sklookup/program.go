package sklookup

import (
	"encoding/binary"
	"net/netip"

	"github.com/peapod/peapod/internal/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct bpf_sk_lookup, the program's argument. Addresses are in
// network byte order, the port is in the machine's.
const (
	offFamily    = 8
	offProtocol  = 12
	offLocalIP4  = 40
	offLocalPort = 60
)

// The key of the map: address, port, protocol, four bytes each as the argument
// has them.
const keySize = 12

func key(protocol int, addr netip.AddrPort) []byte {
	ip := addr.Addr().Unmap().As4()
	k := binary.LittleEndian.AppendUint32(ip[:], uint32(addr.Port()))
	return binary.LittleEndian.AppendUint32(k, uint32(protocol))
}

// Operations of linux/bpf_common.h and linux/bpf.h.
const (
	loadWord   = 0x61 // dst = *(u32 *)(src + off)
	storeWord  = 0x63 // *(u32 *)(dst + off) = src
	loadMap    = 0x18 // dst = the map with the descriptor imm (src 1); two instructions
	moveReg    = 0xbf // dst = src
	moveImm    = 0xb7 // dst = imm
	addImm     = 0x07 // dst += imm
	and32Imm   = 0x54 // (u32)dst &= imm
	jumpNotImm = 0x56 // if (u32)dst != imm, skip off
	jumpImm    = 0x16 // if (u32)dst == imm, skip off
	jumpZero   = 0x15 // if dst == 0, skip off
	callHelper = 0x85
	exit       = 0x95
)

// Functions of the kernel that the program calls (enum bpf_func_id).
const (
	helperMapLookup = 1
	helperRelease   = 86
	helperAssign    = 124
)

// Verdicts (enum sk_action).
const (
	drop = 0
	pass = 1
)

// code is the program: what is for an address in the range goes to the socket
// that the map has, or is refused; the rest, and what is for the address but, goes
// its ordinary way.
func code(sockets int, within netip.Prefix, but netip.Addr) []byte {
	type i = bpf.Instruction
	mask, network := masked(within)
	const r0, r1, r2, r3, argument, socket, frame = 0, 1, 2, 3, 6, 7, 10
	list := []i{
		{Op: moveReg, Dst: argument, Src: r1},
		{Op: loadWord, Dst: r1, Src: argument, Off: offFamily},
		{Op: jumpNotImm, Dst: r1, Imm: unix.AF_INET, Off: passes - 3},
		{Op: loadWord, Dst: r1, Src: argument, Off: offLocalIP4},
		{Op: storeWord, Dst: frame, Src: r1, Off: -keySize},
		{Op: jumpImm, Dst: r1, Imm: word(but), Off: passes - 6},
		{Op: and32Imm, Dst: r1, Imm: mask},
		{Op: jumpNotImm, Dst: r1, Imm: network, Off: passes - 8},
		{Op: loadWord, Dst: r1, Src: argument, Off: offLocalPort},
		{Op: storeWord, Dst: frame, Src: r1, Off: 4 - keySize},
		{Op: loadWord, Dst: r1, Src: argument, Off: offProtocol},
		{Op: storeWord, Dst: frame, Src: r1, Off: 8 - keySize},
		{Op: loadMap, Dst: r1, Src: unix.BPF_PSEUDO_MAP_FD, Imm: int32(sockets)}, {},
		{Op: moveReg, Dst: r2, Src: frame},
		{Op: addImm, Dst: r2, Imm: -keySize},
		{Op: callHelper, Imm: helperMapLookup},
		{Op: jumpZero, Dst: r0, Off: drops - 18},
		{Op: moveReg, Dst: socket, Src: r0},
		{Op: moveReg, Dst: r1, Src: argument},
		{Op: moveReg, Dst: r2, Src: socket},
		{Op: moveImm, Dst: r3, Imm: 0},
		{Op: callHelper, Imm: helperAssign},
		{Op: moveReg, Dst: r1, Src: socket},
		{Op: callHelper, Imm: helperRelease},
		{Op: moveImm, Dst: r0, Imm: pass}, // passes
		{Op: exit},
		{Op: moveImm, Dst: r0, Imm: drop}, // drops
		{Op: exit},
	}
	var out []byte
	for _, x := range list {
		out = x.Append(out)
	}
	return out
}

// Where the two ends are in the program.
const (
	passes = 25
	drops  = 27
)

// masked is what the addresses of a range have in common, as the program sees
// them.
func masked(p netip.Prefix) (mask, network int32) {
	bytes := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return int32(binary.LittleEndian.Uint32(bytes)), word(p.Masked().Addr())
}

// word is an address as the program sees it; 0, which nothing arrives for, where
// there is none.
func word(ip netip.Addr) int32 {
	if !ip.IsValid() {
		return 0
	}
	b := ip.As4()
	return int32(binary.LittleEndian.Uint32(b[:]))
}
