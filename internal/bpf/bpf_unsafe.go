// Package bpf is the few commands of bpf(2) that peapod uses: to load a program
// written here by hand, to attach it to a cgroup or a network namespace, and to
// keep a map for it.
package bpf

import (
	"encoding/binary"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Instruction is struct bpf_insn.
type Instruction struct {
	Op       byte
	Dst, Src byte
	Off      int16
	Imm      int32
}

// Append lays the instruction out as the kernel takes it, in the byte order of
// the machine: peapod's two architectures are both little-endian.
func (i Instruction) Append(code []byte) []byte {
	code = append(code, i.Op, i.Dst|i.Src<<4)
	code = binary.LittleEndian.AppendUint16(code, uint16(i.Off))
	return binary.LittleEndian.AppendUint32(code, uint32(i.Imm))
}

// license of the programs. None of the functions that they call is for the GPL
// only.
var license = [...]byte{'A', 'p', 'a', 'c', 'h', 'e', 0}

var name = [16]byte{'p', 'e', 'a', 'p', 'o', 'd'}

// Load loads a program of a type (BPF_PROG_TYPE_*), for an attach type where
// the program's type has several, and returns its descriptor. It takes CAP_BPF
// and, by type, CAP_NET_ADMIN, or CAP_SYS_ADMIN.
func Load(kind, attach uint32, code []byte) (int, error) {
	attr := struct { // of union bpf_attr, what BPF_PROG_LOAD reads
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
		ifindex  uint32
		attach   uint32
	}{kind: kind, count: uint32(len(code) / 8), code: unsafe.Pointer(&code[0]), license: unsafe.Pointer(&license[0]), name: name, attach: attach}
	fd, err := call(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	goruntime.KeepAlive(code)
	return fd, err
}

// Attach attaches a program to a cgroup, which holds it from then on.
func Attach(target, program int, kind, flags uint32) error {
	attr := struct{ target, program, kind, flags uint32 }{uint32(target), uint32(program), kind, flags}
	_, err := call(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// Link attaches a program to a target, for as long as the descriptor that it
// returns is open (Linux 5.7; of network namespaces 5.9).
func Link(target, program int, kind uint32) (int, error) {
	attr := struct{ program, target, kind, flags uint32 }{uint32(program), uint32(target), kind, 0}
	return call(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// NewMap makes a map (BPF_MAP_TYPE_*) and returns its descriptor. Sizes are in
// bytes.
func NewMap(kind uint32, key, value, entries int) (int, error) {
	attr := struct {
		kind, key, value, entries, flags, inner, numa uint32
		name                                          [16]byte
	}{kind: kind, key: uint32(key), value: uint32(value), entries: uint32(entries), name: name}
	return call(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

type element struct {
	mapFD uint32
	_     uint32
	key   unsafe.Pointer
	value unsafe.Pointer
	flags uint64
}

// Update sets an element of a map.
func Update(fd int, key, value []byte) error {
	attr := element{mapFD: uint32(fd), key: unsafe.Pointer(&key[0]), value: unsafe.Pointer(&value[0])}
	_, err := call(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	goruntime.KeepAlive(key)
	goruntime.KeepAlive(value)
	return err
}

// Delete removes an element from a map.
func Delete(fd int, key []byte) error {
	attr := element{mapFD: uint32(fd), key: unsafe.Pointer(&key[0])}
	_, err := call(unix.BPF_MAP_DELETE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	goruntime.KeepAlive(key)
	return err
}

// call repeats EAGAIN, which the verifier answers when a signal comes.
func call(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
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

// Replace attaches a program to a cgroup in the place of another one that is
// attached there with BPF_F_ALLOW_MULTI; there is no moment with none or both
// (Linux 5.6).
func Replace(target, program, old int, kind uint32) error {
	attr := struct{ target, program, kind, flags, old uint32 }{
		uint32(target), uint32(program), kind, unix.BPF_F_ALLOW_MULTI | unix.BPF_F_REPLACE, uint32(old)}
	_, err := call(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// Detach takes a program off a cgroup.
func Detach(target, program int, kind uint32) error {
	attr := struct{ target, program, kind, flags uint32 }{uint32(target), uint32(program), kind, 0}
	_, err := call(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// Attached opens the programs of a kind that peapod attached to a cgroup, which
// have its name; the caller closes them. It takes CAP_SYS_ADMIN.
func Attached(target int, kind uint32) ([]int, error) {
	var ids [64]uint32 // BPF_CGROUP_MAX_PROGS
	attr := struct {
		target, kind, query, flags uint32
		ids                        unsafe.Pointer
		count                      uint32
		_                          uint32
	}{target: uint32(target), kind: kind, ids: unsafe.Pointer(&ids), count: uint32(len(ids))}
	if _, err := call(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return nil, err
	}
	var list []int
	for _, id := range ids[:attr.count] {
		open := struct{ id, next, flags uint32 }{id: id}
		fd, err := call(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&open), unsafe.Sizeof(open))
		if err == unix.ENOENT {
			continue // it has gone meanwhile
		}
		if err == nil && !ours(fd) {
			unix.Close(fd)
			continue
		}
		if err != nil {
			for _, fd := range list {
				unix.Close(fd)
			}
			return nil, err
		}
		list = append(list, fd)
	}
	return list, nil
}

// ours tells whether a program has peapod's name.
func ours(fd int) bool {
	var info struct { // of struct bpf_prog_info
		_    [64]byte
		name [16]byte
	}
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(unsafe.Sizeof(info)), unsafe.Pointer(&info)}
	_, err := call(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err == nil && info.name == name
}
