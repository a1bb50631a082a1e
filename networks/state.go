package networks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// state is the directory that says which pod has which network:
//
//	lock            held while something here changes; goes with the last record
//	pods/NAME       a record; locked as long as the pod's owner lives
//	leases/LINK     the name of the pod that has the link's number
//	last.BRIDGE     the number that was leased last
//	netns/NAME      the pod's network namespace, mounted for CNI plugins
type state struct{ dir string }

func (s state) record(pod string) string  { return filepath.Join(s.dir, "pods", pod) }
func (s state) lease(link string) string  { return filepath.Join(s.dir, "leases", link) }
func (s state) last(bridge string) string { return filepath.Join(s.dir, "last."+bridge) }
func (s state) netns(pod string) string   { return filepath.Join(s.dir, "netns", pod) }
func (s state) leases() ([]string, error) { return names(filepath.Join(s.dir, "leases")) }
func (s state) make() error {
	for _, d := range []string{"pods", "leases"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory; one that is missing has nothing in it.
func names(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// lock waits until nobody else changes anything. Who holds the lock does not
// wait for anybody but the kernel and the bridges' lock.
func (s state) lock() (unlock func(), err error) {
	path := filepath.Join(s.dir, "lock")
	give, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	return func() {
		if s.alone("") {
			os.Remove(path)
		}
		give()
	}, nil
}

// bridgesLock is held while a bridge is made, joined or removed: state
// directories share the host's. It is taken after a state's own lock. Who may not
// write there is not the host's root, and has a host of his own.
const bridgesLock = "/run/peapod/bridges.lock"

func lockBridges() (unlock func(), err error) {
	err = os.MkdirAll(filepath.Dir(bridgesLock), 0o700)
	if err == nil {
		unlock, err = lockFile(bridgesLock)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return func() {}, nil
	}
	return unlock, err
}

// lockFile waits for the lock of a file. Who holds it may remove the file as the last
// thing, where nobody is expected to want the lock soon: others begin anew then.
func lockFile(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f, unix.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		if isAt(f, path) {
			return func() { f.Close() }, nil
		}
		f.Close() // it was removed before it was ours
	}
}

// alone tells whether no pod but this one has a record. The state is locked.
func (s state) alone(pod string) bool {
	list, err := names(filepath.Join(s.dir, "pods"))
	return err == nil && !slices.ContainsFunc(list, func(name string) bool { return name != pod })
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return os.NewSyscallError("flock", err)
		}
	}
}

// own opens a pod's record, making it where flags say so, and locks it. The
// error is ErrExist when another owner lives. What is in the record is left of
// one who died.
func (s state) own(pod string, flags int) (*os.File, error) {
	unlock, err := s.lock() // or the record could be removed before it is ours
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.tryOwn(pod, flags)
}

func (s state) tryOwn(pod string, flags int) (*os.File, error) {
	f, err := os.OpenFile(s.record(pod), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: a living process gave a pod of this name its network", ErrExist)
		}
		return nil, err
	}
	return f, nil
}

// disown removes a record that is owned.
func (s state) disown(f *os.File) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// orphaned tells whether a lease has nobody who needs it: the pod's owner is
// dead, or has another lease.
//
// Preconditions: the state is locked; no link on the host has the name.
func (s state) orphaned(link string) bool {
	pod, err := os.ReadFile(s.lease(link))
	if err != nil || !plainName(string(pod), maxPod) {
		return true
	}
	f, err := s.tryOwn(string(pod), 0)
	if err == nil {
		f.Close()
		return true
	}
	if !errors.Is(err, ErrExist) {
		return true
	}
	data, err := os.ReadFile(s.record(string(pod)))
	if err != nil {
		return false
	}
	r, err := parseRecord(data)
	return err == nil && r.Link != link
}

// maxPod is the longest name of a file.
const maxPod = 255
