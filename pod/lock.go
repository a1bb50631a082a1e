package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/proc"
)

// A pod's supervisor holds the pod's lock for as long as it lives: a lock that
// is free tells that there is none. It is a lock of the open file (fcntl(2),
// F_OFD_SETLK), not one of flock(2), since that could only be looked at by taking
// it, which would be in the way of whoever wants it at that moment.

// lock takes the pod's lock. The error is ErrRunning when somebody holds it.
func (p place) lock() (*os.File, error) {
	f, err := os.OpenFile(p.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err != unix.EINTR {
			break
		}
	}
	switch err {
	case nil:
		return f, nil
	case unix.EAGAIN, unix.EACCES:
		err = ErrRunning
	default:
		err = fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	f.Close()
	return nil, err
}

// supervised tells whether the pod's supervisor lives. Who may not look at the
// lock does not know: that is an error.
func (p place) supervised() (bool, error) {
	f, err := os.OpenFile(p.lockFile(), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, denied(err)
	}
	defer f.Close()
	// Who could share it? Not those whom a supervisor keeps out.
	l := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, fmt.Errorf("look at the lock %s: %w", f.Name(), err)
	}
	return l.Type == unix.F_WRLCK, nil
}

// awaitEnd waits until the pod's lock is free: its supervisor has gone.
func (p place) awaitEnd(ctx context.Context) error {
	// The supervisor closes the file, or the kernel does it.
	w, err := watch(ctx, p.lockFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.close()
	for {
		// After a change the lock is free a moment after the file was closed.
		running, err := p.supervised()
		for pause := 100 * time.Microsecond; running && pause < 2*time.Millisecond; pause *= 2 {
			time.Sleep(pause)
			running, err = p.supervised()
		}
		if err != nil || !running {
			return err
		}
		if err := w.wait(time.Second); err != nil {
			return err
		}
	}
}

// sign writes into the lock's file which process holds the lock: its number and
// its start time, since numbers are used again.
func (p place) sign(f *os.File) error {
	id, err := proc.Find(os.Getpid())
	if err == nil {
		_, err = fmt.Fprintln(f, id)
	}
	return err
}

// signal sends a signal to the pod's supervisor. None is no error: then the lock
// is about to be free.
func (p place) signal(sig unix.Signal) error {
	fd, err := p.supervisor()
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("signal the supervisor: %w", err)
	}
	return nil
}

// supervisor opens the process that supervises the pod, as a pidfd; -1 when
// there is none: the lock may be held by somebody who removes what it left.
func (p place) supervisor() (fd int, err error) {
	var id proc.ID
	for end := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		data, err := os.ReadFile(p.lockFile())
		if errors.Is(err, fs.ErrNotExist) {
			return -1, nil
		}
		if err != nil {
			return -1, denied(err)
		}
		if running, err := p.supervised(); err != nil || !running {
			return -1, err
		}
		if id, err = proc.Parse(data); err == nil {
			break
		}
		if time.Now().After(end) { // it locks and signs without a pause
			return -1, fmt.Errorf("%w, it is not known by which process: %s: %w", ErrRunning, p.lockFile(), err)
		}
	}
	if id.PID == os.Getpid() {
		return -1, fmt.Errorf("%w by this very process: use Supervisor.Stop", ErrRunning)
	}
	fd, err = id.Open()
	if errors.Is(err, proc.ErrEnded) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("open the supervisor, process %d: %w", id.PID, err)
	}
	return fd, nil
}
