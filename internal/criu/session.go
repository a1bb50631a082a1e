package criu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// Session is our end of the socket to a program, which takes one request.
type Session struct {
	socket *os.File
	cmd    *exec.Cmd // nil where somebody else started it
	said   *strings.Builder
}

// NewSession makes the socket. The other end is the program's, and the caller's
// to close.
func NewSession() (ours *Session, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the socket to criu: %w", err)
	}
	return &Session{socket: os.NewFile(uintptr(fds[0]), "criu")}, os.NewFile(uintptr(fds[1]), "criu"), nil
}

// Notification tells how far the program has come. It waits for the answer.
type Notification struct {
	Script string   // "setup-namespaces", "post-restore", …
	Pid    int      // of the first process, in the program's pid namespace
	File   *os.File // of "orphan-pts-master": a terminal's master; the receiver closes it
}

// ErrEnded tells that the program ended without an answer.
var ErrEnded = errors.New("criu ended without an answer")

// Do sends the request and returns the answer to it. notify, which may be nil, is
// called meanwhile; an error of it makes the program undo what it has done, and
// is what Do returns. A refusal by the program is a *Refused.
func (s *Session) Do(req *rpc.CriuReq, notify func(Notification) error) (*rpc.CriuResp, error) {
	if err := s.send(req); err != nil {
		return nil, err
	}
	var failed error
	for {
		resp, file, err := s.receive()
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		if resp.GetType() != rpc.CriuReqType_NOTIFY {
			file.Close()
			return resp, verdict(resp, failed)
		}
		n := Notification{resp.GetNotify().GetScript(), int(resp.GetNotify().GetPid()), file}
		if notify == nil || failed != nil {
			file.Close()
		} else {
			failed = notify(n)
		}
		t, fine := rpc.CriuReqType_NOTIFY, failed == nil
		if err := s.send(&rpc.CriuReq{Type: &t, NotifySuccess: &fine}); err != nil {
			return nil, errors.Join(failed, err)
		}
	}
}

// verdict is the error of an answer. failed is what a notification came to.
func verdict(resp *rpc.CriuResp, failed error) error {
	switch {
	case failed != nil:
		return failed
	case resp.GetSuccess():
		return nil
	}
	return &Refused{Request: strings.ToLower(resp.GetType().String()), Errno: unix.Errno(resp.GetCrErrno())}
}

// Refused is that the program could not do what was asked for.
type Refused struct {
	Request string     // "dump", "restore", …
	Errno   unix.Errno // 0 where it does not say
}

func (r *Refused) Error() string {
	text := "criu " + r.Request + " failed"
	if r.Errno != 0 {
		text += ": " + r.Errno.Error()
	}
	return text
}

func (r *Refused) Unwrap() error {
	if r.Errno == 0 {
		return nil
	}
	return r.Errno
}

func (s *Session) send(req *rpc.CriuReq) error {
	data, err := req.MarshalVT()
	if err != nil {
		return fmt.Errorf("request for criu: %w", err)
	}
	for {
		err := unix.Sendto(int(s.socket.Fd()), data, unix.MSG_NOSIGNAL, nil)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EPIPE, unix.ECONNRESET:
			return s.ended()
		default:
			return fmt.Errorf("send to criu: %w", err)
		}
	}
}

// receive reads a message, and the descriptor that came with it or nil.
func (s *Session) receive() (*rpc.CriuResp, *os.File, error) {
	data, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, m, flags, err := 0, 0, 0, error(unix.EINTR)
	for err == unix.EINTR {
		n, m, flags, _, err = unix.Recvmsg(int(s.socket.Fd()), data, control, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case err == unix.ECONNRESET, err == nil && n == 0:
		return nil, nil, s.ended()
	case err != nil:
		return nil, nil, fmt.Errorf("receive from criu: %w", err)
	}
	file := descriptor(control[:m])
	if flags&unix.MSG_TRUNC != 0 {
		file.Close()
		return nil, nil, errors.New("receive from criu: its message is too long")
	}
	resp := &rpc.CriuResp{}
	if err := resp.UnmarshalVT(data[:n]); err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("message of criu: %w", err)
	}
	return resp, file, nil
}

// descriptor is that of a control message, or nil.
func descriptor(control []byte) *os.File {
	list, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(list) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&list[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "criu's descriptor")
}

// ended is the error of a program that has ended, with what it said.
func (s *Session) ended() error {
	if s.cmd == nil {
		return ErrEnded
	}
	s.cmd.Wait()
	if text := Errors(s.said.String()); text != "" {
		return fmt.Errorf("%w: %s", ErrEnded, text)
	}
	return ErrEnded
}

// kill ends the program.
func (s *Session) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
	}
}

// Close closes the socket: a program that is at work gives up.
func (s *Session) Close() { s.socket.Close() }

// End closes the socket and waits for the program's end.
func (s *Session) End() {
	s.Close()
	if s.cmd != nil {
		s.cmd.Wait()
	}
}
