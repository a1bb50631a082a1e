package proxy

import "golang.org/x/sys/unix"

const (
	// pipeSize is what one splice(2) moves at most. A pipe has a slot for
	// each page of it; one takes a whole fragment of a packet, up to 32 KiB.
	pipeSize = 256 << 10
	// maxPipes bounds those that a loop has open, for peers that take nothing
	// more hold theirs. Beyond it bytes are copied.
	maxPipes = 256
	// keptPipes are kept for the next one who needs a pipe.
	keptPipes = 4
)

// pipe is where bytes are between two splices: they stay in the kernel.
type pipe struct {
	r, w int32
	n    int // bytes inside
}

type pipes struct {
	free []*pipe
	open int
}

// get returns an empty pipe, or nil if there is none to be had.
func (p *pipes) get() *pipe {
	if n := len(p.free); n > 0 {
		got := p.free[n-1]
		p.free = p.free[:n-1]
		return got
	}
	if p.open >= maxPipes {
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	// Fails where a user's pipes are bounded: then it has the usual size.
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	p.open++
	return &pipe{r: int32(fds[0]), w: int32(fds[1])}
}

// put takes a pipe back. One that is not empty is closed.
func (p *pipes) put(x *pipe) {
	if x.n == 0 && len(p.free) < keptPipes {
		p.free = append(p.free, x)
		return
	}
	closeFD(x.r)
	closeFD(x.w)
	p.open--
}

func (p *pipes) close() {
	for _, x := range p.free {
		closeFD(x.r)
		closeFD(x.w)
	}
	p.free = nil
}
