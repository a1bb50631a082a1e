package cgroups

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Kill kills everything in the group and below it, frozen or not, and waits
// until it is empty. It is one write on v2 (Linux 5.14); elsewhere the group is
// frozen, every process killed, and thawed, until nothing is left. A group
// that is gone is not an error. When ctx ends first, the error is both ErrBusy
// and that of ctx.
//
// A killed group is done with: Delete it, and have New make another. Kernels
// from 6.14 on may kill whatever is born there afterwards by CLONE_INTO_CGROUP
// (they count kills by group, and compare with the group of the parent).
//
// A process that is itself in the group kills itself on v2, and leaves itself
// out on v1.
func (g *Group) Kill(ctx context.Context) error {
	if g.host.unified != "" {
		if err := g.killUnified(ctx); err != nil {
			return failed("kill", g.path, err)
		}
	}
	for i := range g.host.legacy {
		l := &g.host.legacy[i]
		if !exists(l.dir + g.path) {
			continue
		}
		if err := g.killLegacy(ctx, l); err != nil {
			return failed("kill", g.path, err)
		}
		break // who is in one is in all
	}
	return nil
}

// killUnified kills by v2. A thread that is frozen by v1 dies when thawed.
func (g *Group) killUnified(ctx context.Context) error {
	dir := g.host.unified + g.path
	err := writeFile(dir+"/cgroup.kill", "1")
	switch {
	case err == nil:
		g.freeze(false)
		return waitEvents(ctx, dir)
	case !exists(dir):
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return g.killFrozen(ctx, dir, func(int) bool { return true })
	}
	return hint(err)
}

// killLegacy kills by v1.
func (g *Group) killLegacy(ctx context.Context, l *legacy) error {
	return g.killFrozen(ctx, l.dir+g.path, func(pid int) bool {
		path, ok := l.seat(strconv.Itoa(pid))
		return ok && inside(path, g.path)
	})
}

// killFrozen kills what is listed in dir and below it. member is asked once
// the process is held by a pidfd: the number may have gone to another process
// since it was listed, and on v1 may be listed for a thread on a visit (Enter).
func (g *Group) killFrozen(ctx context.Context, dir string, member func(pid int) bool) error {
	for wait := newDelay(); ; {
		list, err := procsBelow(dir)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || err == nil && len(others(list)) == 0 {
			return nil
		}
		if err != nil {
			return hint(err)
		}
		g.killOnce(dir, member)
		if err := wait.sleep(ctx); err != nil {
			return busy(dir, err)
		}
	}
}

func (g *Group) killOnce(dir string, member func(int) bool) {
	visits.Lock()
	defer visits.Unlock()
	g.freeze(true)
	defer g.freeze(false)
	list, _ := procsBelow(dir) // what was forked before the freeze
	for _, pid := range others(list) {
		killOne(pid, member)
	}
}

// others leaves the calling process out.
func others(list []int) []int {
	self := os.Getpid()
	for i, pid := range list {
		if pid == self {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

func killOne(pid int, member func(int) bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	if member(pid) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // else it has ended
	}
}

// freeze stops the group's processes, or lets them and those below go on: v1
// delivers no signal to a frozen process. It is best effort, killing is
// repeated anyway.
func (g *Group) freeze(on bool) {
	if l := g.host.find("freezer"); l != nil {
		if on {
			_ = writeFile(l.dir+g.path+"/freezer.state", "FROZEN")
		} else {
			thaw(l.dir + g.path)
		}
		return
	}
	if g.host.unified != "" {
		_ = writeFile(g.host.unified+g.path+"/cgroup.freeze", map[bool]string{true: "1", false: "0"}[on])
	}
}

// thaw thaws a group of v1 and those below it.
func thaw(dir string) {
	_ = writeFile(dir+"/freezer.state", "THAWED")
	below, _ := children(dir)
	for _, child := range below {
		thaw(child)
	}
}

const maxDelay = 10 * time.Millisecond

// delay is a pause that grows with every turn, 50 µs to 10 ms.
type delay struct{ next time.Duration }

func newDelay() *delay { return &delay{50 * time.Microsecond} }

func (d *delay) sleep(ctx context.Context) error {
	t := time.NewTimer(d.next)
	defer t.Stop()
	d.next = min(2*d.next, maxDelay)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
