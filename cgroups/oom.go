package cgroups

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// OOM counts what came of a memory limit.
type OOM struct {
	// Events is how often no memory could be had within the limit (v2).
	Events uint64
	// Kills is how many processes the kernel killed for it. On v1 those of
	// groups below are not counted.
	Kills uint64
	// Stuck tells that processes wait for memory now, since the OOM killer
	// was disabled (v1).
	Stuck bool
}

// OOM reads the counters. They are zero where nothing limits memory, and when the
// group is gone.
func (g *Group) OOM() (OOM, error) {
	r := &statReader{}
	var o OOM
	if dir := g.dirOne("memory"); dir != "" {
		k := r.keys(dir, "memory.oom_control")
		o.Kills, o.Stuck = k["oom_kill"], k["oom_kill_disable"] == 1 && k["under_oom"] == 1
	} else {
		k := r.keys(g.dirTwo(), "memory.events")
		o.Events, o.Kills = k["oom"], k["oom_kill"]
	}
	if r.err != nil {
		return o, failed("read "+r.name, g.path, hint(r.err))
	}
	return o, nil
}

// OOMWatch follows a group's OOM events.
type OOMWatch struct {
	group  *Group
	file   *os.File // inotify, or an eventfd on v1
	legacy bool
	last   OOM
}

// WatchOOM begins to follow the group's OOM events, of which the kernel tells:
// by inotify on v2, by an eventfd on v1. The caller closes it. The error is
// ErrNoController where memory is not limited at all.
func (g *Group) WatchOOM() (*OOMWatch, error) {
	before, err := g.OOM()
	if err != nil {
		return nil, err
	}
	w, err := g.watchOOM()
	if w != nil {
		w.last = before
	}
	if errors.Is(err, unix.ENOENT) {
		err = ErrNoController
		if !exists(g.main()) {
			err = ErrNotExist
		}
	}
	return w, failed("watch for lack of memory", g.path, hint(err))
}

func (g *Group) watchOOM() (*OOMWatch, error) {
	if dir := g.dirOne("memory"); dir != "" {
		return g.watchOne(dir)
	}
	dir := g.dirTwo()
	if dir == "" {
		return nil, unix.ENOENT
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &OOMWatch{group: g, file: os.NewFile(uintptr(fd), "inotify")}
	// cgroup.events tells of the end of the last process.
	for _, file := range []string{"/memory.events", "/cgroup.events"} {
		if _, err := unix.InotifyAddWatch(fd, dir+file, unix.IN_MODIFY); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// watchOne registers an eventfd (admin-guide/cgroup-v1/memory.rst, 10).
func (g *Group) watchOne(dir string) (*OOMWatch, error) {
	control, err := open(dir+"/memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(control)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &OOMWatch{group: g, file: os.NewFile(uintptr(fd), "eventfd"), legacy: true}
	if err := writeFile(dir+"/cgroup.event_control", strconv.Itoa(fd)+" "+strconv.Itoa(control)); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Next waits until something has happened and returns the counters; that may be
// another thing than lack of memory too. more is false when the group has no
// process any more, or is gone. The error is that of ctx when it ends.
func (w *OOMWatch) Next(ctx context.Context) (o OOM, more bool, err error) {
	stop := context.AfterFunc(ctx, func() { w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var buffer [4096]byte
	if _, err := w.file.Read(buffer[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return o, false, failed("watch for lack of memory", w.group.path, err)
	}
	// v1 tells before it kills: the counter comes a moment later.
	for wait := newDelay(); ; {
		if o, err = w.group.OOM(); err != nil {
			return o, false, err
		}
		more = w.populated()
		if !w.legacy || !more || o != w.last || wait.next >= maxDelay || wait.sleep(ctx) != nil {
			w.last = o
			return o, more, nil
		}
	}
}

// populated: on v1 the removal of the group is an event.
func (w *OOMWatch) populated() bool {
	if w.legacy {
		return exists(w.group.dirOne("memory") + "/cgroup.procs")
	}
	text, err := readFile(w.group.dirTwo() + "/cgroup.events")
	return err == nil && !strings.Contains(text, "populated 0")
}

// Close ends the watching, also for who is in Next.
func (w *OOMWatch) Close() error { return w.file.Close() }
