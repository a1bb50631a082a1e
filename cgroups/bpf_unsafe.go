package cgroups

import (
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadAttr is the part of union bpf_attr that BPF_PROG_LOAD reads.
type loadAttr struct {
	kind     uint32
	count    uint32
	code     unsafe.Pointer
	license  unsafe.Pointer
	logLevel uint32
	logSize  uint32
	log      unsafe.Pointer
	version  uint32
	flags    uint32
	name     [16]byte
}

// attachAttr is the part that BPF_PROG_ATTACH reads.
type attachAttr struct {
	target  uint32
	program uint32
	kind    uint32
	flags   uint32
}

// attachFilter loads a device filter and attaches it to the group behind dir.
// The group holds it from then on; it goes when the group goes. With
// BPF_F_ALLOW_MULTI the filters of the ancestors are asked as well.
func attachFilter(dir int, code []byte) error {
	license := [...]byte{'A', 'p', 'a', 'c', 'h', 'e', 0}
	load := loadAttr{
		kind:    unix.BPF_PROG_TYPE_CGROUP_DEVICE,
		count:   uint32(len(code) / 8),
		code:    unsafe.Pointer(&code[0]),
		license: unsafe.Pointer(&license[0]),
		name:    [16]byte{'p', 'e', 'a', 'p', 'o', 'd'},
	}
	program, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	goruntime.KeepAlive(code)
	goruntime.KeepAlive(&license)
	if err != nil {
		return &step{"load the device filter", err}
	}
	defer unix.Close(program)
	attach := attachAttr{
		target:  uint32(dir),
		program: uint32(program),
		kind:    unix.BPF_CGROUP_DEVICE,
		flags:   unix.BPF_F_ALLOW_MULTI,
	}
	if _, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach)); err != nil {
		return &step{"attach the device filter", err}
	}
	return nil
}

// bpf repeats EAGAIN, which the verifier answers when a signal comes.
func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for range 10 {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		if errno == 0 {
			return int(fd), nil
		}
		if errno != unix.EAGAIN && errno != unix.EINTR {
			return -1, errno
		}
	}
	return -1, unix.EAGAIN
}
