package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Data is what a filter knows of a system call (struct seccomp_data).
type Data struct {
	Number    uint32
	Audit     uint32 // AUDIT_ARCH_*
	Pointer   uint64 // of the instruction
	Arguments [arguments]uint64
}

// bytes are the structure as filters see it.
func (d *Data) bytes() (b [64]byte) {
	le := binary.LittleEndian
	le.PutUint32(b[offsetNumber:], d.Number)
	le.PutUint32(b[offsetArch:], d.Audit)
	le.PutUint64(b[8:], d.Pointer)
	for i, v := range d.Arguments {
		le.PutUint64(b[offsetArguments+8*i:], v)
	}
	return b
}

// Evaluate runs the filter as the kernel would and returns its result
// (SECCOMP_RET_*) and the number of instructions that took. The error tells a
// program that the kernel would have refused.
func (f *Filter) Evaluate(d *Data) (ret uint32, steps int, err error) {
	data := d.bytes()
	var acc uint32
	for pc := 0; pc < len(f.Code); pc++ {
		steps++
		i := f.Code[pc]
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if i.K > 60 || i.K%4 != 0 {
				return 0, steps, fmt.Errorf("instruction %d loads from %d", pc, i.K)
			}
			acc = binary.LittleEndian.Uint32(data[i.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= i.K
		case unix.BPF_RET | unix.BPF_K:
			return i.K, steps, nil
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += jump(i, acc == i.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			pc += jump(i, acc > i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			pc += jump(i, acc >= i.K)
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", pc, i.Code)
		}
	}
	return 0, steps, fmt.Errorf("the program has no end")
}

func jump(i unix.SockFilter, yes bool) int {
	if yes {
		return int(i.Jt)
	}
	return int(i.Jf)
}

// Permits tells whether a process of this machine's own architecture may make
// the call with these arguments.
func (f *Filter) Permits(goarch string, number uintptr, args ...uint64) bool {
	native := amd64
	if goarch == "arm64" {
		native = arm64
	}
	d := &Data{Number: uint32(number), Audit: abouts[native].audit}
	copy(d.Arguments[:], args)
	ret, _, err := f.Evaluate(d)
	return err == nil && (ret == unix.SECCOMP_RET_ALLOW || ret == unix.SECCOMP_RET_LOG)
}
