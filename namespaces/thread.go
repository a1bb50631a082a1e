package namespaces

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// outcome is how a function ended on another goroutine.
type outcome struct {
	err      error
	returned bool
	panicked any // nil after a return or runtime.Goexit
}

// call runs f. After a panic it returns as usual; a runtime.Goexit in f ends the
// calling goroutine after its deferred functions, with returned still false.
func (o *outcome) call(f func() error) {
	defer func() {
		if !o.returned {
			o.panicked = recover()
		}
	}()
	o.err = f()
	o.returned = true
}

// result ends the waiting goroutine the way the function ended.
func (o *outcome) result() error {
	switch {
	case o.returned:
		return o.err
	case o.panicked != nil:
		panic(o.panicked)
	default: // for example testing.T.FailNow inside of f
		runtime.Goexit()
		panic("unreachable")
	}
}

// onThread runs f on a goroutine that is locked to a thread which is not the
// main thread, and waits for it. The thread is given back if f says that it is
// clean; otherwise it ends with its goroutine.
func onThread(f func() (clean bool)) { onThreadBut(isMain, f) }

// onLastThread runs f on a thread that ends with it.
func onLastThread(f func()) {
	onThreadBut(isMainOrParent, func() bool { f(); return false })
}

// isMain tells whether this is the main thread. It is spared for two reasons:
// /proc/self/ns and /proc/PID/ns show its namespaces to everybody, so they must
// never change, not even for a moment; and Go parks it instead of ending it,
// which would keep a namespace alive for as long as the process lives.
func isMain() bool { return unix.Gettid() == unix.Getpid() }

// isMainOrParent tells whether this thread must not end. Go runs a new goroutine
// on any thread that is idle, which may be one that started a process with
// Pdeathsig: the kernel ends that with the thread, not with the parent process
// (prctl(2)). /proc/PID/task/TID/children has those that a thread started; a
// kernel without it (CONFIG_PROC_CHILDREN) has no way to tell.
func isMainOrParent() bool {
	if isMain() {
		return true
	}
	children, err := os.ReadFile("/proc/thread-self/children")
	return err == nil && len(children) > 0
}

func onThreadBut(spared func() bool, f func() (clean bool)) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if spared() {
			// As long as this goroutine holds the thread, another one has
			// to run elsewhere.
			onThreadBut(spared, f)
			runtime.UnlockOSThread()
			close(done)
			return
		}
		// Deferred, since f may end in runtime.Goexit.
		clean := false
		defer func() {
			if clean {
				runtime.UnlockOSThread()
			}
			close(done)
		}()
		clean = f()
	}()
	<-done
}
