package namespaces

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Do runs f inside the namespace that ns refers to and returns f's error. The
// kinds are network, ipc, uts and cgroup; others give an error that wraps
// [ErrKind]. It takes CAP_SYS_ADMIN.
//
// f runs on a goroutine of its own, on a thread that is in the namespace; its
// other namespaces are those of the caller's process. Goroutines that f starts
// do not run inside. f should be short, for it holds a thread; sockets that it
// makes go on belonging to the namespace. A panic or runtime.Goexit in f
// continues in the caller. ns may be closed by others while Do runs.
func Do(ns *os.File, f func() error) error {
	kind, err := KindOf(ns)
	if err != nil {
		return err
	}
	if !kind.info().enter {
		return fail("enter", fileTarget(ns), fmt.Errorf(
			"%w: a thread of a Go program cannot enter a %s namespace; start a process in it", ErrKind, kind))
	}
	var out outcome
	onThread(func() (clean bool) {
		var home int
		home, out.err = enter(ns, kind)
		if out.err != nil {
			out.returned = true
			return true
		}
		defer unix.Close(home)
		out.call(f)
		// If this fails the thread ends, and with it the trouble: f did its
		// work, so the caller need not know.
		return unix.Setns(home, kind.Flag()) == nil
	})
	return out.result()
}

// enter moves the calling thread into ns and returns a descriptor of the
// namespace in which it was before.
//
// Preconditions: the thread is locked; kind is that of ns.
func enter(ns *os.File, kind Kind) (home int, err error) {
	home, err = openThread(kind)
	if err != nil {
		return -1, err
	}
	err = control(ns, func(fd int) error { return unix.Setns(fd, kind.Flag()) })
	if err != nil {
		unix.Close(home)
		return -1, fail("enter", string(kind)+" "+fileTarget(ns), err)
	}
	return home, nil
}

// openThread opens the calling thread's own namespace.
func openThread(kind Kind) (int, error) {
	path := "/proc/thread-self/ns/" + kind.ProcName()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return fd, fail("open", path, err)
}
