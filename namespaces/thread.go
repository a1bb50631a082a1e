package namespaces

import (
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
//
// The main thread is spared for two reasons: /proc/self/ns and /proc/PID/ns
// show its namespaces to everybody, so they must never change, not even for a
// moment; and Go parks it instead of ending it, which would keep a namespace
// alive for as long as the process lives.
func onThread(f func() (clean bool)) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// As long as this goroutine holds the main thread, another one
			// has to run elsewhere.
			onThread(f)
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
