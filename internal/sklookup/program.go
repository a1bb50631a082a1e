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
	offLocalIP6  = 44
	offLocalPort = 60
)

// The key of the map: address, in the 16 bytes that one of IPv6 has, port and
// protocol, four bytes each as the argument has them.
const keySize = 24

func key(protocol int, addr netip.AddrPort) []byte {
	k := make([]byte, 16, keySize)
	copy(k, addr.Addr().Unmap().AsSlice())
	k = binary.LittleEndian.AppendUint32(k, uint32(addr.Port()))
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

// Ends of the program, as targets of jumps until it is whole.
const (
	passes = 1000 + iota
	drops
)

const r0, r1, r2, r3, argument, socket, frame = 0, 1, 2, 3, 6, 7, 10

// code is the program: what is for an address in the range goes to the socket
// that the map has, or is refused; the rest, and what is for the address but, goes
// its ordinary way.
func code(sockets int, within netip.Prefix, but netip.Addr) []byte {
	type i = bpf.Instruction
	family, offset := int32(unix.AF_INET), int16(offLocalIP4)
	if within.Addr().Is6() {
		family, offset = unix.AF_INET6, offLocalIP6
	}
	list := []i{
		{Op: moveReg, Dst: argument, Src: r1},
		{Op: loadWord, Dst: r1, Src: argument, Off: offFamily},
		{Op: jumpNotImm, Dst: r1, Imm: family, Off: passes},
		{Op: moveImm, Dst: r2, Imm: 0},
	}
	list = append(list, addressInKey(offset, within, but)...)
	list = append(list,
		i{Op: loadWord, Dst: r1, Src: argument, Off: offLocalPort},
		i{Op: storeWord, Dst: frame, Src: r1, Off: 16 - keySize},
		i{Op: loadWord, Dst: r1, Src: argument, Off: offProtocol},
		i{Op: storeWord, Dst: frame, Src: r1, Off: 20 - keySize},
		i{Op: loadMap, Dst: r1, Src: unix.BPF_PSEUDO_MAP_FD, Imm: int32(sockets)}, i{},
		i{Op: moveReg, Dst: r2, Src: frame},
		i{Op: addImm, Dst: r2, Imm: -keySize},
		i{Op: callHelper, Imm: helperMapLookup},
		i{Op: jumpZero, Dst: r0, Off: drops},
		i{Op: moveReg, Dst: socket, Src: r0},
		i{Op: moveReg, Dst: r1, Src: argument},
		i{Op: moveReg, Dst: r2, Src: socket},
		i{Op: moveImm, Dst: r3, Imm: 0},
		i{Op: callHelper, Imm: helperAssign},
		i{Op: moveReg, Dst: r1, Src: socket},
		i{Op: callHelper, Imm: helperRelease},
		i{Op: moveImm, Dst: r0, Imm: pass}, // passes
		i{Op: exit},
		i{Op: moveImm, Dst: r0, Imm: drop}, // drops
		i{Op: exit},
	)
	return assemble(list)
}

// addressInKey passes what is not for the range, and puts the address into the key;
// behind one of IPv4 are zeros, which r2 has.
func addressInKey(offset int16, within netip.Prefix, but netip.Addr) (list []bpf.Instruction) {
	type i = bpf.Instruction
	network, mask := words(within.Masked().Addr()), masks(within)
	for n := range 4 {
		at := int16(4*n) - keySize
		if n >= len(network) {
			list = append(list, i{Op: storeWord, Dst: frame, Src: r2, Off: at})
			continue
		}
		list = append(list, i{Op: loadWord, Dst: r1, Src: argument, Off: offset + int16(4*n)}, i{Op: storeWord, Dst: frame, Src: r1, Off: at})
		if but.Is4() {
			list = append(list, i{Op: jumpImm, Dst: r1, Imm: words(but)[0], Off: passes})
		}
		if mask[n] != 0 {
			list = append(list, i{Op: and32Imm, Dst: r1, Imm: mask[n]}, i{Op: jumpNotImm, Dst: r1, Imm: network[n], Off: passes})
		}
	}
	return list
}

// assemble lays the program out, with jumps to where its two ends are.
func assemble(list []bpf.Instruction) (out []byte) {
	ends := map[int16]int{passes: len(list) - 4, drops: len(list) - 2}
	for n, x := range list {
		if end, ok := ends[x.Off]; ok {
			x.Off = int16(end - n - 1)
		}
		out = x.Append(out)
	}
	return out
}

// words is an address as the program sees it, one word of IPv4 and four of IPv6.
func words(ip netip.Addr) (list []int32) {
	for b := ip.AsSlice(); len(b) > 0; b = b[4:] {
		list = append(list, int32(binary.LittleEndian.Uint32(b)))
	}
	return list
}

// masks tell which bits of each word all addresses of a range have in common.
func masks(p netip.Prefix) (list []int32) {
	for bits := p.Bits(); len(list) < p.Addr().BitLen()/32; bits -= 32 {
		mask := ^uint32(0) << (32 - min(max(bits, 0), 32))
		list = append(list, int32(binary.LittleEndian.Uint32(binary.BigEndian.AppendUint32(nil, mask))))
	}
	return list
}
