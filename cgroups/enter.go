package cgroups

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Enter runs f on a thread that is in the group's v1 hierarchies, so that a
// process which f starts is born there; the unified hierarchy is Descriptor's.
// On a host with v2 alone it only calls f, unless the group is frozen.
//
// It exists for speed: the first process that Add moves costs up to 30 ms (see
// there), while a thread that moves itself waits for nobody (Linux 5.5,
// 9a3284fad42f), and all together takes 0.2 ms. f must start the process and
// do little else: the thread is under the group's limits and device rules. It
// must not rely on other goroutines to start it.
//
// The thread is not the one that Enter is called on, is moved back afterwards
// (behind the caller's back, while the caller goes on) and lives on, so a
// process with Pdeathsig is safe. If it cannot be moved back, it ends.
func (g *Group) Enter(f func() error) error {
	done, err := g.release()
	if err != nil {
		return failed("make room in pids.max", g.path, err)
	}
	defer done()
	if len(g.host.legacy) == 0 {
		visits.RLock()
		defer visits.RUnlock()
		if frozen, err := frozenTwo(g.host.unified + g.path); err == nil && frozen {
			return failed("start in", g.path, fmt.Errorf("%w; thaw it first", ErrFrozen))
		}
		return f()
	}
	v := &visit{group: g, lone: g.lone.Load(), result: make(chan error, 1)}
	go v.run(f)
	return <-v.result
}

// release gives what ends the process that holds a scope, when the one that the
// scope is for is there. Both are counted: with a limit of 1 on v2 there has to
// be room for two meanwhile (on v1 enter and leave see to it).
func (g *Group) release() (done func(), err error) {
	if g.unit.held() == 0 || !g.lone.Load() || g.host.find("pids") != nil {
		return g.unit.release, nil
	}
	file := g.host.unified + g.path + "/pids.max"
	if err := writeFile(file, "2"); err != nil {
		return nil, hint(err)
	}
	return func() {
		g.unit.release()
		_ = writeFile(file, "1")
	}, nil
}

// visits keeps this process from freezing a thread of its own, or what that has
// forked and waits for (vfork): Go's scheduler would wait for it forever.
var visits sync.RWMutex

// errUnfinished is seen only where f ends its goroutine (testing's FailNow).
var errUnfinished = errors.New("cgroups: the function given to Enter did not return")

// visit is one call of Enter.
type visit struct {
	group  *Group
	lone   bool // pids.max is 1, which leaves no room for the visitor
	result chan error
}

// run takes the goroutine's thread, but never the first one of the process:
// Kill tells processes from threads that are on a visit by that one.
func (v *visit) run(f func() error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan struct{})
		go func() { defer close(done); v.run(f) }()
		<-done
		runtime.UnlockOSThread()
		return
	}
	visits.RLock()
	defer visits.RUnlock()
	err := errUnfinished
	defer func() {
		if !v.lone {
			v.result <- err
		}
		if v.leave() == nil {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
		if v.lone {
			v.result <- err
		}
	}()
	if err = v.enter(); err == nil {
		err = errUnfinished
		err = f()
	}
}

// enter moves the calling thread into the group.
func (v *visit) enter() error {
	g := v.group
	for i := range g.host.legacy {
		l := &g.host.legacy[i]
		dir := l.dir + g.path
		if l.has("freezer") {
			// A frozen group would hold the visitor, and with it the caller.
			state, err := readFile(dir + "/freezer.state")
			if err == nil && state != "THAWED" {
				return failed("enter "+dir, g.path, fmt.Errorf("%w (%s); thaw it first", ErrFrozen, state))
			}
		}
		if v.lone && l.has("pids") {
			// The visitor is counted: with a limit of 1 it could not fork.
			if err := writeFile(dir+"/pids.max", strconv.Itoa(2+g.unit.held())); err != nil {
				return failed("make room in pids.max", g.path, err)
			}
		}
		if err := writeFile(dir+"/tasks", "0"); err != nil {
			return failed("enter "+dir, g.path, explainAdd(err))
		}
	}
	return nil
}

// leave moves the calling thread to where the process is.
func (v *visit) leave() error {
	g := v.group
	text, err := readList("/proc/self/cgroup")
	if err != nil {
		return err
	}
	for i := range g.host.legacy {
		l := &g.host.legacy[i]
		home, ok := l.find(text)
		if !ok {
			return errors.New(strings.Join(l.controllers, ",") + ": the process is in no visible group")
		}
		if err := writeFile(l.dir+home+"/tasks", "0"); err != nil {
			return err
		}
		if v.lone && l.has("pids") {
			if err := writeFile(l.dir+g.path+"/pids.max", "1"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *legacy) has(controller string) bool {
	return slices.Contains(l.controllers, controller)
}
