package namespaces

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Set is a set of namespaces, at most one of each kind, that exist for as long
// as the set is open or a process, mount or other descriptor refers to them.
// Its methods may be called from several goroutines, except for Close.
type Set struct {
	files map[Kind]*os.File
}

// New makes new namespaces of the given kinds (network, ipc, uts), as they come
// from the kernel: the loopback interface is down. See [Options.New].
func New(kinds ...Kind) (*Set, error) { return Options{}.New(kinds...) }

// New makes new namespaces of the given kinds (network, ipc, uts) and sets them
// up as the options say. No process is in them: a thread makes them, opens
// them, and ends. Options are checked before anything is made; when a later
// step fails nothing stays. It takes CAP_SYS_ADMIN.
func (o Options) New(kinds ...Kind) (*Set, error) {
	plan, err := o.plan(kinds)
	if err != nil {
		return nil, fail("make", "namespaces", err)
	}
	var set *Set
	onLastThread(func() { set, err = unshare(kinds, plan) })
	return set, err
}

// enterNew moves the calling thread into new namespaces, for good, and performs
// the plan there.
func enterNew(kinds []Kind, plan []step) error {
	flags := 0
	for _, k := range kinds {
		flags |= k.Flag()
	}
	if err := unix.Unshare(flags); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: a limit in /proc/sys/user/max_*_namespaces is reached", err)
		}
		return fail("make", fmt.Sprintf("namespaces %v", kinds), err)
	}
	for _, s := range plan {
		if err := s.do(); err != nil {
			return fail(s.op, s.target, err)
		}
	}
	return nil
}

// unshare moves the calling thread into new namespaces and opens them.
func unshare(kinds []Kind, plan []step) (_ *Set, err error) {
	if err := enterNew(kinds, plan); err != nil {
		return nil, err
	}
	set := &Set{files: make(map[Kind]*os.File, len(kinds))}
	defer func() {
		if err != nil {
			set.Close()
		}
	}()
	for _, k := range kinds {
		fd, err := openThread(k)
		if err != nil {
			return nil, err
		}
		set.files[k] = os.NewFile(uintptr(fd), k.ProcName()+":new")
	}
	return set, nil
}

// File returns the descriptor of the set's namespace of a kind, or nil if the
// set has none. It belongs to the set: do not close it.
func (s *Set) File(kind Kind) *os.File { return s.files[kind] }

// Path returns a path of the set's namespace of a kind for use in this process
// while the set is open (/proc/self/fd/N), or "" if the set has none.
func (s *Set) Path(kind Kind) string {
	path := ""
	if f := s.files[kind]; f != nil {
		control(f, func(fd int) error {
			path = "/proc/self/fd/" + strconv.Itoa(fd)
			return nil
		})
	}
	return path
}

// Kinds returns the kinds of the set's namespaces in alphabetical order.
func (s *Set) Kinds() []Kind {
	var have []Kind
	for _, k := range Kinds() {
		if s.files[k] != nil {
			have = append(have, k)
		}
	}
	return have
}

// Close gives the namespaces up. A second Close does nothing.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
