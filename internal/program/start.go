package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr says how a program's process is made. The zero value is useful.
type Attr struct {
	// Stdin, Stdout and Stderr are the process's; nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
	// Sys holds clone flags, id maps and the cgroup's descriptor. Start
	// sets its PidFD.
	Sys syscall.SysProcAttr
	// Dir is where the program is written when memory files cannot be
	// executed; "" is nowhere.
	Dir string
}

// Process is a started program.
type Process struct {
	Pid     int
	program *Program
	pidfd   *os.File
	report  *os.File // our end of the report socket
	begun   bool     // the message before the execve has come
	failed  bool     // a step failed: what is left of the program ends by itself
}

// Write makes the executable image, which Start does otherwise. It is for those
// who have something to wait for meanwhile. Nothing may be added to the program
// afterwards. dir is as in Attr.
func (p *Program) Write(dir string) error {
	elf, err := p.ELF()
	if err == nil {
		p.image, err = image(elf, dir)
	}
	return err
}

// Close gives up an image that Write made and Start did not use.
func (p *Program) Close() { p.image.Close() }

// Start starts the program. Its messages come from Next.
func (p *Program) Start(a *Attr) (*Process, error) {
	if p.image == nil {
		if err := p.Write(a.Dir); err != nil {
			return nil, err
		}
	}
	img := p.image
	p.image = nil
	defer img.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the report socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "report"), os.NewFile(uintptr(pair[1]), "report")
	defer theirs.Close()

	files, closeNull, err := p.inherit(a, theirs)
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer closeNull()
	// The image is inherited like all others: Go's fork may reuse the number
	// of a descriptor that is not in the list.
	path := "/proc/self/fd/" + strconv.Itoa(len(files))
	files = append(files, img.Fd())
	sys, pidfd := a.Sys, -1
	sys.PidFD = &pidfd
	pid, err := launch(path, []string{"peapod-init"}, &syscall.ProcAttr{Files: files, Sys: &sys})
	runtime.KeepAlive(p)
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the set-up program: %w", err)
	}
	return &Process{Pid: pid, program: p, report: ours, pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
}

// launch starts the image at path. Tests of another architecture's interpreter
// put an emulator before it.
var launch = syscall.ForkExec

// inherit returns the descriptors of the process, by number.
func (p *Program) inherit(a *Attr, report *os.File) (files []uintptr, done func(), err error) {
	var null *os.File
	done = func() { null.Close() }
	files = make([]uintptr, 0, 4+len(p.files))
	for _, f := range []*os.File{a.Stdin, a.Stdout, a.Stderr} {
		if f == nil {
			if null == nil {
				if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
					return nil, nil, err
				}
			}
			f = null
		}
		files = append(files, f.Fd())
	}
	for i, f := range p.files {
		switch {
		case 3+i == p.report:
			files = append(files, report.Fd())
		case f.file == nil:
			done()
			return nil, nil, fmt.Errorf("program: descriptor %d (%s) has no file: it can only be listed", 3+i, f.name)
		default:
			files = append(files, f.file.Fd())
		}
	}
	return files, done, nil
}

// Next waits for the next message. It returns io.EOF when the program has
// executed what it was made for, an *Error when a step failed, and ErrDied
// when the process ended without saying why. When ctx ends first the process
// is killed.
func (p *Process) Next(ctx context.Context) (Event, error) {
	defer OnEnd(ctx, func() { p.Kill(unix.SIGKILL) })()
	e, err := p.program.receive(p.report)
	switch {
	case err == nil:
		// Not the last message: where the program forks, the message of
		// the process that ends there may come after it.
		if e.Label == executing {
			p.begun = e.IsExecuting()
		}
		return e, nil
	case ctx.Err() != nil:
		return e, context.Cause(ctx)
	case errors.Is(err, io.EOF) && !p.begun:
		return e, ErrDied
	}
	var step *Error
	p.failed = p.failed || errors.As(err, &step)
	return e, err
}

// OnEnd calls f when ctx ends, unless what it returns is called before. That
// waits for an f that has begun: what f uses may be closed afterwards.
func OnEnd(ctx context.Context, f func()) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}

// IsExecuting tells the message before the execve.
func (e Event) IsExecuting() bool { return e.Label == executing && e.Value == valueExecuting }

// Continue lets the process go on behind a synchronisation point.
func (p *Process) Continue() error {
	if _, err := p.report.Write([]byte{0}); err != nil {
		return fmt.Errorf("let the set-up go on: %w", err)
	}
	return nil
}

// Hangup ends the process at its next synchronisation point, if one is left.
func (p *Process) Hangup() { unix.Shutdown(int(p.report.Fd()), unix.SHUT_WR) }

// Kill sends sig to the process. A process that is gone is no error.
func (p *Process) Kill(sig unix.Signal) error {
	err := unix.PidfdSendSignal(int(p.pidfd.Fd()), sig, nil, 0)
	if err == unix.ESRCH {
		return nil
	}
	return err
}

// PidFD is the process's pidfd, which stays p's.
func (p *Process) PidFD() *os.File { return p.pidfd }

// TakePidFD hands the pidfd over to the caller.
func (p *Process) TakePidFD() *os.File {
	f := p.pidfd
	p.pidfd = nil
	return f
}

// Reap waits for the process's end without a bound; it is for a process that
// was killed, failed or has nothing more to do.
func (p *Process) Reap() (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.Pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

// Abort kills and reaps the process and closes what belongs to it. It returns
// the messages that nobody has read: where the program forks, the child may
// have failed before the pid that the first process reports has come. So that
// it does come, the first process is not killed then, since it ends by itself.
func (p *Process) Abort() (left []Event) {
	if p.pidfd != nil {
		if !p.failed {
			p.Kill(unix.SIGKILL)
		}
		p.Reap()
	}
	defer p.Close()
	for {
		e, err := p.program.receive(arrived{p.report})
		var step *Error
		switch {
		case err == nil:
			left = append(left, e)
		case !errors.As(err, &step):
			return left
		}
	}
}

// arrived reads what has come already.
type arrived struct{ socket *os.File }

func (a arrived) Read(b []byte) (int, error) {
	n, _, err := unix.Recvfrom(int(a.socket.Fd()), b, unix.MSG_DONTWAIT)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// Close gives up the report socket, and the pidfd unless it was taken. A
// process that waits at a synchronisation point ends.
func (p *Process) Close() {
	p.report.Close()
	if p.pidfd != nil {
		p.pidfd.Close()
	}
}
