package seccomp

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// farthest is the offset of a conditional jump that leaves room for two
// instructions.
const farthest = 255 - 2

// assembler writes a program from its end to its beginning: jumps lead forwards
// only, so that where they lead to is known.
type assembler struct {
	code []unix.SockFilter // backwards
	near []int32           // where a place can be jumped to from not as far; 0 is nowhere
}

// place is an instruction: its index from the program's end.
type place int

func (a *assembler) put(f unix.SockFilter) place {
	a.code, a.near = append(a.code, f), append(a.near, 0)
	return place(len(a.code) - 1)
}

// ret ends the program.
func (a *assembler) ret(v action) place {
	return a.put(unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(v)})
}

// load loads a word of struct seccomp_data and goes on at next.
func (a *assembler) load(offset uint32, next place) place {
	a.follow(next)
	return a.put(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

// and masks what was loaded.
func (a *assembler) and(mask uint32, next place) place {
	a.follow(next)
	return a.put(unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
}

// branch compares what was loaded with k and goes on at yes or no.
func (a *assembler) branch(op uint16, k uint32, yes, no place) place {
	if yes == no {
		return yes
	}
	yes, no = a.reach(yes), a.reach(no)
	n := place(len(a.code))
	return a.put(unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: uint8(n - yes - 1), Jf: uint8(n - no - 1), K: k})
}

// follow makes what is at next the instruction behind the one to be put.
func (a *assembler) follow(next place) {
	if int(next) != len(a.code)-1 {
		a.hop(next)
	}
}

// reach returns a place from which to is reached, and which a conditional jump
// can reach: its offsets have 8 bits.
func (a *assembler) reach(to place) place {
	close := func(p place) bool { return len(a.code)-int(p)-1 <= farthest }
	if close(to) {
		return to
	}
	if by := place(a.near[to]); by != 0 && close(by) {
		return by
	}
	by := a.hop(to)
	a.near[to] = int32(by)
	return by
}

// hop puts what leads to a place: the end of the program, which takes no more
// room than a jump, or a jump.
func (a *assembler) hop(to place) place {
	if f := a.code[to]; f.Code == unix.BPF_RET|unix.BPF_K {
		return a.put(f)
	}
	return a.put(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(a.code) - int(to) - 1)})
}
