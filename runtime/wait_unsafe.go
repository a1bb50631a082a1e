package runtime

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfo is what waitid(2) fills in of siginfo_t for a child: on 64-bit
// architectures three words, padding, then pid, uid and status.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	value              int32
	_                  [128 - 7*4]byte
}

func (s *siginfo) ended() bool { return s.pid != 0 }

func (s *siginfo) status() ExitStatus {
	const exited = 1 // CLD_EXITED; others are deaths by signal
	if s.code == exited {
		return ExitStatus{Code: int(s.value)}
	}
	return ExitStatus{Signal: unix.Signal(s.value)}
}

// waitid reaps the child of pidfd if it has ended (Linux 5.4).
func waitid(pidfd int, info *siginfo) error {
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(info)), unix.WEXITED|unix.WNOHANG, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
