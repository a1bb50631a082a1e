package runtime

import (
	"encoding/binary"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// terminal is the pseudo-terminal of a process.
type terminal struct {
	master, slave program.Value
	socket        program.Value // which the master is sent over
	answer        bool          // an answer is to be waited for
}

// openTerminal appends the steps that make a pseudo-terminal of the devpts that
// the process sees.
func openTerminal(p *program.Program) (master, slave program.Value) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	ptmx, tty := p.Var("ptmx"), p.Var("tty")
	p.Call(unix.SYS_OPENAT, program.Sym(^uint64(99), "AT_FDCWD"), p.Str("/dev/pts/ptmx"),
		program.Sym(flags, "O_RDWR|O_NOCTTY|O_CLOEXEC"), program.Int(0)).Into(ptmx).For("open", "/dev/pts/ptmx")
	p.Call(unix.SYS_IOCTL, ptmx.Value(), program.Sym(unix.TIOCSPTLCK, "TIOCSPTLCK"), p.Bytes(make([]byte, 8), "&0")).
		For("unlock", "the terminal")
	p.Call(unix.SYS_IOCTL, ptmx.Value(), program.Sym(unix.TIOCGPTPEER, "TIOCGPTPEER"),
		program.Sym(flags, "O_RDWR|O_NOCTTY|O_CLOEXEC")).Into(tty).For("open", "the terminal")
	return ptmx.Value(), tty.Value()
}

// newTerminal sends the master over socket, a connected unix socket. In a
// created container that comes before it waits to be started: engines want the
// terminal by then.
func newTerminal(p *program.Program, socket *os.File, answer bool, size *specs.Box, master, slave program.Value) *terminal {
	t := &terminal{master, slave, p.File(socket, "console"), answer}
	if size != nil {
		winsize := binary.LittleEndian.AppendUint16(nil, uint16(size.Height))
		winsize = binary.LittleEndian.AppendUint16(winsize, uint16(size.Width))
		p.Call(unix.SYS_IOCTL, slave, program.Sym(unix.TIOCSWINSZ, "TIOCSWINSZ"),
			p.Bytes(append(winsize, 0, 0, 0, 0), fmt.Sprintf("{%d, %d}", size.Height, size.Width))).For("size", "the terminal")
	}
	t.send(p)
	return t
}

// control appends the steps that make the slave the process's standard input,
// output, error and controlling terminal.
func (t *terminal) control(p *program.Program, user specs.User) {
	p.Call(unix.SYS_FCHOWN, t.slave, program.Int(user.UID), program.Int(-1)).Tolerate(unix.EPERM).For("change the owner of", "the terminal")
	for fd := range 3 {
		p.Call(unix.SYS_DUP3, t.slave, program.Int(fd), program.Int(0)).For("use", "the terminal")
	}
	p.Call(unix.SYS_IOCTL, program.Int(0), program.Sym(unix.TIOCSCTTY, "TIOCSCTTY"), program.Int(0)).
		For("control", "the terminal")
}

// send appends sendmsg(2) of one descriptor, with a byte of content as
// engines expect it.
func (t *terminal) send(p *program.Program) {
	le := binary.LittleEndian
	content := p.Bytes([]byte("/dev/ptmx"), "")
	iovec := p.Bytes(le.AppendUint64(le.AppendUint64(nil, content.Address()), 9), "")
	control := le.AppendUint64(nil, uint64(unix.CmsgLen(4)))
	control = le.AppendUint32(control, unix.SOL_SOCKET)
	control = le.AppendUint32(control, unix.SCM_RIGHTS)
	control = le.AppendUint64(control, 0)
	message := p.Bytes(control, "")
	fd := p.Patch(message, unix.CmsgLen(0), "rights")
	// Duplicating it puts the number where the message needs it.
	p.Call(unix.SYS_FCNTL, t.master, program.Sym(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), program.Int(0)).Into(fd).
		For("duplicate", "the terminal")
	var header []byte // struct msghdr
	for _, word := range []uint64{0, 0, iovec.Address(), 1, message.Address(), uint64(len(control)), 0} {
		header = le.AppendUint64(header, word)
	}
	p.Call(unix.SYS_SENDMSG, t.socket, p.Bytes(header, "{SCM_RIGHTS}"), program.Int(0)).
		For("send", "the terminal over the console socket")
	if t.answer {
		p.Call(unix.SYS_READ, t.socket, p.Bytes(make([]byte, 8), "&byte"), program.Int(1)).
			For("wait for", "the answer of the console socket")
	}
}
