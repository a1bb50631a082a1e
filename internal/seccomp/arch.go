package seccomp

import specs "github.com/opencontainers/runtime-spec/specs-go"

// arch is an architecture that filters are made for.
type arch uint8

// The order is that of the numbers in the table.
const (
	amd64 arch = iota
	x86
	x32
	arm64
	arm
	architectures
)

const (
	x32Bit = 0x40000000
	none   = -1
)

// about is what there is to know of an architecture.
type about struct {
	name  specs.Arch
	audit uint32 // AUDIT_ARCH_* (linux/audit.h)
	base  uint32 // of its numbers
	wide  bool   // arguments have 64 bits
	// Numbers from own up to end are apart from those of new calls: of x32
	// where it differs from amd64, of arm its private ones.
	own, end uint32
}

var abouts = [architectures]about{
	amd64: {specs.ArchX86_64, 0xc000003e, 0, true, 0, 0},
	x86:   {specs.ArchX86, 0x40000003, 0, false, 0, 0},
	x32:   {specs.ArchX32, 0xc000003e, x32Bit, false, x32Bit + 512, x32Bit + 548},
	arm64: {specs.ArchAARCH64, 0xc00000b7, 0, true, 0, 0},
	arm:   {specs.ArchARM, 0x40000028, 0, false, 0xf0000, 0xf0006},
}

// foreign are the architectures that the specification knows besides. No
// process can make their calls where peapod runs.
var foreign = [...]specs.Arch{
	specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC,
	specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
}

// systemCall is a line of the table.
type systemCall struct {
	name   string
	mux    uint8 // x86: 100 and the number in socketcall(2), 200 and that in ipc(2)
	number [architectures]int32
}

// find returns a system call by its name, or nil.
func find(name string) *systemCall {
	low, high := 0, len(table)
	for low < high {
		mid := (low + high) / 2
		if table[mid].name < name {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(table) && table[low].name == name {
		return &table[low]
	}
	return nil
}
