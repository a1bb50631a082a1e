package proxy

import (
	"net/netip"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the data path. None of them blocks (the one that may wait
// says for how long at most), so Go's scheduler is not told about them: that
// would cost more than many of them do.
//
// Memory that is handed to the kernel is on the heap: a stack may move.

func sysRecv(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// sysPeek leaves what it reads where it is.
func sysPeek(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_PEEK, 0, 0)
	return int(n), errno
}

func sysSend(fd int32, b []byte, flags int) (int, unix.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL), 0, 0)
	return int(n), errno
}

func sysSplice(from, to int32, n int) (int, unix.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(r), errno
}

func closeFD(fd int32) {
	syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

func sysShutdown(fd int32) unix.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

func sysSocket(domain int) (int32, unix.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(domain), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return int32(fd), errno
}

// sockaddr is memory for an address of either family.
type sockaddr struct {
	raw  unix.RawSockaddrInet6
	size uint32
}

func sysAccept(fd int32, from *sockaddr) (int32, unix.Errno) {
	from.size = uint32(unsafe.Sizeof(from.raw))
	n, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from.raw)), uintptr(unsafe.Pointer(&from.size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(n), errno
}

func sysConnect(fd int32, to *sockaddr) unix.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.size))
	return errno
}

func sysGetsockname(fd int32, a *sockaddr) unix.Errno {
	a.size = uint32(unsafe.Sizeof(a.raw))
	_, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&a.size)))
	return errno
}

// set takes a zone by number only: names are known to one namespace.
func (a *sockaddr) set(to netip.AddrPort, scope uint32) {
	port := (*[2]byte)(unsafe.Pointer(&a.raw.Port)) // at the same place in both
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	if to.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		v4.Family, v4.Addr = unix.AF_INET, to.Addr().As4()
		a.size = uint32(unsafe.Sizeof(*v4))
		return
	}
	a.raw.Family, a.raw.Flowinfo, a.raw.Addr, a.raw.Scope_id = unix.AF_INET6, 0, to.Addr().As16(), scope
	a.size = uint32(unsafe.Sizeof(a.raw))
}

// get returns IPv4 addresses as such, also those that came to an IPv6 socket.
func (a *sockaddr) get() netip.AddrPort {
	p := (*[2]byte)(unsafe.Pointer(&a.raw.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	switch a.raw.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(a.raw.Addr).Unmap()
		if a.raw.Scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.raw.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

// setOption takes four or eight bytes.
func setOption(fd int32, level, option int, value *[2]int32, size int) {
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(unsafe.Pointer(value)), uintptr(size), 0)
}

// These are constant; variables only so that they have an address.
var (
	optionOff   = [2]int32{0}
	optionOn    = [2]int32{1}
	lingerReset = [2]int32{1, 0} // struct linger: on, for no time
	nearBuffer  = [2]int32{512 << 10}
	unpaced     = [4]byte{'r', 'e', 'n', 'o'}
)

func setNoDelay(fd int32) { setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, &optionOn, 4) }

// setPatientAck lets the end of the handshake travel with the first bytes, where
// these are there already: a packet less, and the endpoint wakes up once.
func setPatientAck(fd int32) { setOption(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, &optionOff, 4) }

// leastRoundTrip is the shortest that the kernel has seen; 0 where it does not tell
// (TCP_INFO, Linux 4.6).
func leastRoundTrip(fd int32, info *unix.TCPInfo) time.Duration {
	size := uint32(unsafe.Sizeof(*info))
	info.Min_rtt = 0
	syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&size)), 0)
	return time.Duration(info.Min_rtt) * time.Microsecond
}

func setSendBuffer(fd int32, bytes *[2]int32) {
	setOption(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes, 4)
}

func setUnpaced(fd int32) {
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, uintptr(unsafe.Pointer(&unpaced)), uintptr(len(unpaced)), 0)
}

// resetFD closes a TCP connection so that the peer sees a reset, and drops what
// was not sent.
func resetFD(fd int32) {
	setOption(fd, unix.SOL_SOCKET, unix.SO_LINGER, &lingerReset, 8)
	closeFD(fd)
}

func epollControl(ep int32, op int, fd int32, e *unix.EpollEvent) unix.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(e)), 0, 0)
	return errno
}

// epollLook waits at most as long as said, while Go believes that the thread
// runs. When Go wants it to stop meanwhile it sends a signal, which ends the wait
// with EINTR.
func epollLook(ep int32, events []unix.EpollEvent, wait time.Duration, ts *unix.Timespec) (int, unix.Errno) {
	*ts = unix.NsecToTimespec(int64(wait))
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	return int(n), errno
}
