package namespaces

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// A thread of an ordinary user's process cannot enter a network namespace of
// his: it would have to enter the user namespace that this belongs to, which a
// process of several threads cannot. A program of its own does that.

// Owner returns the user namespace that ns belongs to. It has to be the caller's
// or one that was made below it (ioctl_ns(2)).
func Owner(ns *os.File) (*os.File, error) {
	var fd int
	err := control(ns, func(n int) (err error) {
		fd, err = unix.IoctlRetInt(n, unix.NS_GET_USERNS)
		return err
	})
	if err != nil {
		return nil, fail("find the owner of", fileTarget(ns), err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "user namespace"), nil
}

// maxRights is how many descriptors a message takes (SCM_MAX_FD is 253).
const maxRights = 250

// socketsWithout makes sockets where a thread may not enter ns, which may well be
// the one that it is in. Otherwise the error is why.
func socketsWithout(ns *os.File, domain, typ, proto, n int, why error) ([]int, error) {
	if own, err := Open(Network, "/proc/thread-self/ns/net"); err == nil {
		same, err := Same(ns, own)
		own.Close()
		if err == nil && same {
			return socketsHere(domain, typ, proto, n)
		}
	}
	if foreign(ns) {
		return socketsInside(ns, domain, typ, proto, n)
	}
	return nil, why
}

// socketsHere makes sockets in the thread's own namespace.
func socketsHere(domain, typ, proto, n int) (fds []int, err error) {
	for range n {
		fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return nil, fail("make", "socket", err)
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// socketsInside makes sockets by a program that enters ns.
func socketsInside(ns *os.File, domain, typ, proto, n int) (fds []int, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			fds = nil
		}
	}()
	for len(fds) < n {
		more, err := socketBatch(ns, domain, typ, proto, min(n-len(fds), maxRights))
		fds = append(fds, more...)
		if err != nil {
			return fds, fail("make socket in", fileTarget(ns), err)
		}
	}
	return fds, nil
}

func socketBatch(ns *os.File, domain, typ, proto, n int) ([]int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "rights"), os.NewFile(uintptr(pair[1]), "rights")
	defer ours.Close()
	defer theirs.Close()
	p := program.New()
	p.CloseOthers()
	if err := enterSteps(p, ns); err != nil {
		return nil, err
	}
	rights := newRights(p, n)
	for i := range n {
		p.Call(unix.SYS_SOCKET, program.Int(domain), program.Int(typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), program.Int(proto)).
			Into(rights.slot(p, i)).For("make", "a socket")
	}
	rights.send(p, p.File(theirs, "rights"))
	if err := runProgram(p); err != nil {
		return nil, err
	}
	return receiveRights(int(ours.Fd()), n)
}

// enterSteps appends the steps that enter a namespace and the user namespace
// that it belongs to.
func enterSteps(p *program.Program, list ...*os.File) error {
	owner, err := Owner(list[0])
	if err != nil {
		return err
	}
	p.Call(unix.SYS_SETNS, p.File(owner, "user namespace"), program.Sym(unix.CLONE_NEWUSER, "CLONE_NEWUSER")).For("join", "the user namespace")
	becomeRoot(p)
	for _, ns := range list {
		p.Call(unix.SYS_SETNS, p.File(ns, "namespace"), program.Int(0)).For("join", fileTarget(ns))
	}
	return nil
}

// becomeRoot takes the identity of the user namespace's root: what is made then
// belongs to that.
func becomeRoot(p *program.Program) {
	zero := program.Int(0)
	p.Call(unix.SYS_SETRESGID, zero, zero, zero).For("become group 0 of", "the user namespace")
	p.Call(unix.SYS_SETRESUID, zero, zero, zero).For("become user 0 of", "the user namespace")
}

// runProgram performs a program to its end.
func runProgram(p *program.Program) error {
	p.Send(p.Message("done"))
	p.Exit(0)
	proc, err := p.Start(&program.Attr{Dir: os.TempDir()})
	if err != nil {
		return err
	}
	defer proc.Abort()
	_, err = proc.Next(context.Background())
	return err
}

// rights is a control message of descriptors, unix(7).
type rights struct {
	message program.Value
	size    int
}

func newRights(p *program.Program, n int) *rights {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(unix.CmsgLen(4*n)))
	b = le.AppendUint32(b, unix.SOL_SOCKET)
	b = le.AppendUint32(b, unix.SCM_RIGHTS)
	b = append(b, make([]byte, 4*n+8)...) // a result is stored as 64 bits
	return &rights{p.Bytes(b, ""), unix.CmsgLen(4 * n)}
}

// slot is where the i-th descriptor goes. They have to be stored in their order:
// each clears what is behind it.
func (r *rights) slot(p *program.Program, i int) *program.Var {
	return p.Patch(r.message, unix.CmsgLen(0)+4*i, "rights")
}

// send appends sendmsg(2), with a byte of content.
func (r *rights) send(p *program.Program, socket program.Value) {
	le := binary.LittleEndian
	content := p.Bytes([]byte{0}, "")
	iovec := p.Bytes(le.AppendUint64(le.AppendUint64(nil, content.Address()), 1), "")
	var header []byte // struct msghdr
	for _, word := range []uint64{0, 0, iovec.Address(), 1, r.message.Address(), uint64(r.size), 0} {
		header = le.AppendUint64(header, word)
	}
	p.Call(unix.SYS_SENDMSG, socket, p.Bytes(header, "{SCM_RIGHTS}"), program.Int(0)).For("send", "the sockets")
}

// receiveRights takes the descriptors that were sent.
func receiveRights(socket, n int) ([]int, error) {
	content, b := make([]byte, 1), make([]byte, unix.CmsgSpace(4*n))
	_, size, flags, _, err := unix.Recvmsg(socket, content, b, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, fmt.Errorf("receive the sockets: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(b[:size])
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, m := range messages {
		list, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, list...)
	}
	if len(fds) < n || flags&unix.MSG_CTRUNC != 0 {
		// This process may have no room for them.
		return fds, fmt.Errorf("receive the sockets: %d of %d: %w", len(fds), n, unix.EMFILE)
	}
	return fds, nil
}

// denied tells that a thread may not enter a namespace.
func denied(err error) bool { return errors.Is(err, unix.EPERM) }

// foreign tells that ns does not belong to the caller's user namespace.
func foreign(ns *os.File) bool {
	owner, err := Owner(ns)
	if err != nil {
		return false
	}
	defer owner.Close()
	own, err := Open(User, "/proc/self/ns/user")
	if err != nil {
		return false
	}
	defer own.Close()
	same, err := Same(owner, own)
	return err == nil && !same
}
