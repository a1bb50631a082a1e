package proxy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr on 64-bit architectures. Its pointers
// are ones that Go's garbage collector knows.
type mmsghdr struct {
	unix.Msghdr
	size uint32 // received or sent
	_    uint32
}

// recvmmsg receives as many datagrams as are there and have room, without
// waiting.
func recvmmsg(fd int, list []mmsghdr) (int, error) {
	return mmsg(unix.SYS_RECVMMSG, fd, list, 0)
}

// sendmmsg sends datagrams. An error is that of the first; that of a later one
// ends the call before it and comes with the next.
func sendmmsg(fd int, list []mmsghdr) (int, error) {
	return mmsg(unix.SYS_SENDMMSG, fd, list, unix.MSG_NOSIGNAL)
}

// mmsg does not tell Go's scheduler about a call that cannot block.
func mmsg(call uintptr, fd int, list []mmsghdr, flags int) (int, error) {
	if len(list) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&list[0])), uintptr(len(list)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
