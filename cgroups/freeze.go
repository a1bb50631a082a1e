package cgroups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/proc"
	"golang.org/x/sys/unix"
)

// Freeze stops all processes of the group and of those below it, and waits until
// they stand still. A group that cannot be frozen until ctx ends (5 s where it
// has no deadline), as when a process hangs in a device driver, goes on.
func (g *Group) Freeze(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errors.New("not all processes stand still after 5s"))
		defer cancel()
	}
	l, err := g.freezer("freeze")
	if err != nil {
		return err
	}
	if l != nil {
		err = g.freezeOne(ctx, l)
	} else {
		err = g.freezeTwo(ctx, g.host.unified+g.path)
	}
	if err != nil {
		g.freeze(false)
	}
	return failed("freeze", g.path, err)
}

// Thaw lets the processes of a frozen group, and of those below it, go on. It is
// no error when they do already. Where a group above is frozen they still wait
// for that.
func (g *Group) Thaw() error {
	l, err := g.freezer("thaw")
	switch {
	case err != nil:
		return err
	case l != nil:
		thaw(l.dir + g.path)
		err = writeFile(l.dir+g.path+"/freezer.state", "THAWED")
	default:
		err = writeFile(g.host.unified+g.path+"/cgroup.freeze", "0")
	}
	if errors.Is(err, unix.ENOENT) && !exists(g.main()) {
		err = ErrNotExist
	}
	return failed("thaw", g.path, hint(err))
}

// Frozen tells whether the group's processes stand still or are about to,
// because of the group itself or of one above. A group that is gone is not.
func (g *Group) Frozen() (bool, error) {
	if l := g.host.find("freezer"); l != nil {
		state, err := readFile(l.dir + g.path + "/freezer.state")
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
			return false, nil
		}
		return err == nil && state != "THAWED", failed("look whether it is frozen", g.path, hint(err))
	}
	if g.host.unified == "" {
		return false, nil
	}
	frozen, err := frozenTwo(g.host.unified + g.path)
	return frozen, failed("look whether it is frozen", g.path, err)
}

// AwaitThaw waits until the group is not frozen, or gone.
func (g *Group) AwaitThaw(ctx context.Context) error {
	for wait := newDelay(); ; {
		frozen, err := g.Frozen()
		if err != nil || !frozen {
			return err
		}
		if err := wait.sleep(ctx); err != nil {
			return failed("wait until it is thawed", g.path, err)
		}
	}
}

// frozenTwo: the first file says what is, the second what was asked for.
func frozenTwo(dir string) (bool, error) {
	text, err := readFile(dir + "/cgroup.events")
	if err == nil && key(text, "frozen") != "1" {
		text, err = readFile(dir + "/cgroup.freeze")
		if err == nil {
			return text == "1", nil
		}
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return false, nil // gone, or from before 5.2
	}
	return false, hint(err)
}

// freezer gives the hierarchy of v1 that can freeze, or nil where v2 does.
func (g *Group) freezer(op string) (*legacy, error) {
	l := g.host.find("freezer")
	if l == nil && (g.host.unified == "" || exists(g.host.unified+g.path) && !exists(g.host.unified+g.path+"/cgroup.freeze")) {
		return nil, failed(op, g.path, fmt.Errorf("the freezer %w: mount it (mount -t cgroup -o freezer cgroup %s/freezer), or take Linux 5.2 with cgroup v2", ErrNoController, mountPoint))
	}
	return l, nil
}

// freezeOne asks again and again: v1 has no event for it, and looks at a process
// that was just forked when it is written to.
func (g *Group) freezeOne(ctx context.Context, l *legacy) error {
	for wait := newDelay(); ; {
		if done, err := g.freezeOnce(l); done || err != nil {
			return err
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// freezeOnce does not leave a thread frozen that visits the group (Enter): all of
// its process would hang, which may be a supervisor.
func (g *Group) freezeOnce(l *legacy) (done bool, err error) {
	visits.Lock()
	defer visits.Unlock()
	dir := l.dir + g.path
	if err := writeFile(dir+"/freezer.state", "FROZEN"); err != nil {
		return false, gone(err)
	}
	list, err := procsBelow(dir)
	if err != nil {
		return false, gone(err)
	}
	for _, pid := range list {
		if path, ok := l.seat(strconv.Itoa(pid)); ok && !inside(path, g.path) {
			g.freeze(false)
			return false, nil
		}
	}
	state, err := readFile(dir + "/freezer.state")
	return state == "FROZEN", gone(err)
}

func (g *Group) freezeTwo(ctx context.Context, dir string) error {
	for wait := newDelay(); ; {
		done, err := freezeTwice(ctx, dir)
		if done || err != nil {
			return err
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// freezeTwice does not leave frozen what has been forked and not executed its
// command: all of the process that forked it might hang, as a Go program does.
func freezeTwice(ctx context.Context, dir string) (done bool, err error) {
	visits.Lock()
	defer visits.Unlock()
	if err := writeFile(dir+"/cgroup.freeze", "1"); err != nil {
		return false, gone(err)
	}
	standing := func(text string) bool { return key(text, "frozen") == "1" }
	if err := waitKey(ctx, dir, standing, func(cause error) error { return cause }); err != nil {
		return false, err
	}
	list, err := procsBelow(dir)
	if err != nil {
		return false, gone(err)
	}
	for _, pid := range list {
		if parent := parentOf(pid); parent > 0 && !slices.Contains(list, parent) && proc.SameMemory(pid, parent) {
			return false, hint(writeFile(dir+"/cgroup.freeze", "0"))
		}
	}
	return true, nil
}

// parentOf reads the parent of a process, 0 where there is none to be seen.
func parentOf(pid int) int {
	text, err := readFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// "pid (name) state ppid": the name may have anything in it.
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

// gone is the error for a group's file that cannot be had.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return ErrNotExist
	}
	return hint(err) // nil stays nil
}

// key finds the value in lines of "key value", "" where it is not there.
func key(text, name string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}
