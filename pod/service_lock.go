package pod

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The lock of the services' directory is a file beside it, which is there while
// somebody has services, or has had some. Who holds the lock may remove the file: who
// gets it then looks whether it is the one that is there, and begins anew.

func (s *Store) servicesLock() string { return filepath.Join(s.root(), "services.lock") }

// lockServices waits for the lock.
func (s *Store) lockServices() (*os.File, error) {
	for {
		f, err := os.OpenFile(s.servicesLock(), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		ours, err := ownFile(f, unix.F_OFD_SETLKW)
		if err == nil && ours {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// ownFile locks a file, and tells whether it is still the one of its name.
func ownFile(f *os.File, how int) (bool, error) {
	for {
		err := unix.FcntlFlock(f.Fd(), how, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false, err
		}
		break
	}
	held, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(held, there), nil
}

// unlockServices gives the lock up, and removes its file where there is no service.
func (s *Store) unlockServices(lock *os.File) {
	if entries, err := os.ReadDir(s.servicesDir()); err == nil && len(entries) == 0 {
		os.Remove(lock.Name())
	}
	lock.Close()
}

// dropServicesLock removes the file where there is no service, and nobody is about to
// make one.
func (s *Store) dropServicesLock() {
	f, err := os.OpenFile(s.servicesLock(), os.O_RDWR, 0)
	if err != nil {
		return
	}
	if ours, err := ownFile(f, unix.F_OFD_SETLK); err != nil || !ours {
		f.Close()
		return
	}
	s.unlockServices(f)
}
