package runtime

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/internal/strict"
	"golang.org/x/sys/unix"
)

// agent is who decides about system calls that a filter notifies of
// (SCMP_ACT_NOTIFY).
type agent struct {
	Path     string `json:"path"` // of its unix socket
	Metadata string `json:"metadata,omitempty"`
}

// newAgent is the agent of a profile.
func newAgent(s *specs.LinuxSeccomp) (*agent, error) {
	path, err := filepath.Abs(s.ListenerPath)
	if err != nil {
		return nil, fmt.Errorf("linux.seccomp.listenerPath: %w", err)
	}
	return &agent{path, s.ListenerMetadata}, nil
}

// messageListener comes with the number of the listener's descriptor.
const messageListener = "seccomp listener"

// listen appends the loading of a filter that notifies. Its listener has to come
// out of the process before the execve, which closes it, but under the filter the
// process can do nothing: its next call may be one that the agent decides about.
// So a second thread, which has no filter, waits until the listener is there, tells
// its number and waits for the answer, while the first waits without a system
// call. answers is what is read for that.
func (id *identity) listen(p *program.Program, answers program.Value) {
	listener, taken := p.Message(messageListener), p.Var("taken")
	p.Set(listener.Value, ^uint64(0))
	thread, first, dead := p.Label(), p.Label(), p.Label()
	p.Call(unix.SYS_CLONE, program.Sym(program.ThreadFlags, "CLONE_THREAD|CLONE_VM|CLONE_FILES|CLONE_FS|CLONE_SIGHAND|CLONE_SYSVSEM"),
		program.Null, program.Null, program.Null, program.Null).Zero(thread).Then(first).For("make", "a thread for the seccomp listener")

	p.Here(dead)
	p.Exit(127)
	wait, again := p.Label(), p.Label()
	p.Here(again)
	p.Call(unix.SYS_NANOSLEEP, timespec(p, 0, 50_000), program.Null).For("wait for", "the seccomp listener")
	p.Here(thread)
	p.Call(unix.SYS_FCNTL, listener.Value.Value(), program.Sym(unix.F_GETFD, "F_GETFD")).Tolerate(unix.EBADF).Else(again).Then(wait)
	p.Here(wait)
	p.Send(listener)
	pollfd := binary.LittleEndian.AppendUint64(nil, answers.Address()|unix.POLLIN<<32)
	p.Call(unix.SYS_PPOLL, p.Bytes(pollfd, "{POLLIN}"), program.Int(1), timespec(p, 60, 0), program.Null, program.Int(0)).Zero(dead).
		For("wait for", "the seccomp agent")
	p.Call(unix.SYS_READ, answers, p.Bytes(make([]byte, 8), "&answer"), program.Int(1)).Into(taken).Zero(dead).
		For("wait for", "the seccomp agent")
	p.Call(unix.SYS_EXIT, program.Int(0))

	p.Here(first)
	id.loadInto(p, listener.Value)
	p.Spin(taken)
}

func timespec(p *program.Program, seconds, nanoseconds uint64) program.Value {
	le := binary.LittleEndian
	return p.Bytes(le.AppendUint64(le.AppendUint64(nil, seconds), nanoseconds), fmt.Sprintf("{%ds, %dns}", seconds, nanoseconds))
}

// keepAnswers moves the descriptor from which the answer comes to number at.
func (o *processOptions) keepAnswers(p *program.Program, at uint64) {
	kept := program.Int(at)
	// EINVAL: it is there already.
	p.Call(unix.SYS_DUP3, o.answers, kept, program.Int(0)).Tolerate(unix.EINVAL).For("keep", startFIFO)
	p.Call(unix.SYS_FCNTL, kept, program.Sym(unix.F_SETFD, "F_SETFD"), program.Sym(unix.FD_CLOEXEC, "FD_CLOEXEC")).For("keep", startFIFO)
	o.answers = kept
}

// send sends the agent a listener and what it is of, as the specification has it
// ("Container Process State") and runc does.
func (a *agent) send(listener *os.File, c *Container, pid int, status specs.ContainerState) error {
	first := c.process.PID
	if first == 0 {
		first = pid
	}
	state, err := strict.Append(nil, &specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: a.Metadata,
		State: specs.State{
			Version: specs.Version, ID: c.record.ID, Status: status, Pid: first,
			Bundle: c.record.Bundle, Annotations: c.record.Annotations,
		},
	})
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// An agent whose queue is full is waited for, but not for ever.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 30}); err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: a.Path}); err != nil {
		return fmt.Errorf("connect to the seccomp agent at %s (linux.seccomp.listenerPath): %w", a.Path, err)
	}
	if err := unix.Sendmsg(fd, state, unix.UnixRights(int(listener.Fd())), nil, 0); err != nil {
		return fmt.Errorf("send the seccomp listener to the agent at %s: %w", a.Path, err)
	}
	return nil
}

// hand takes the listener n out of the process of a pidfd and sends it.
func (a *agent) hand(pidfd, n int, c *Container, pid int, status specs.ContainerState) error {
	fd, err := unix.PidfdGetfd(pidfd, n, 0) // Linux 5.6
	if err != nil {
		return fmt.Errorf("take the seccomp listener out of the process (pidfd_getfd): %w", err)
	}
	listener := os.NewFile(uintptr(fd), "listener")
	defer listener.Close()
	return a.send(listener, c, pid, status)
}
