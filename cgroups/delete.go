package cgroups

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// patience is for how long Delete waits where ctx has no deadline. Killed
// processes are gone in milliseconds, unless they dump core or hang in a
// device driver.
const patience = 5 * time.Second

// errPatience is the cause where ctx set no limit.
var errPatience = errors.New("still not empty after 5s; kill them first")

// Delete removes the group and all groups below it, and waits for processes
// that are about to end; it kills none. nil if there is no such group. When
// processes remain until ctx ends (5 s where it has no deadline), the error is
// ErrBusy.
func (g *Group) Delete(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errPatience)
		defer cancel()
	}
	var errs []error
	for i, dir := range g.host.dirs(g.path) {
		if err := remove(ctx, dir, i == 0 && g.host.unified != ""); err != nil {
			errs = append(errs, err)
		}
	}
	return failed("delete", g.path, errors.Join(errs...))
}

// Destroy kills what is in the group, if anything is, and removes the group, all
// below it and the parents that peapod made. nil if there is no such group.
func (g *Group) Destroy(ctx context.Context) error {
	if g.unit != nil {
		return g.destroyScope(ctx)
	}
	// Most groups are empty when their time has come.
	if !g.removed() {
		if err := g.Kill(ctx); err != nil {
			return err
		}
		if err := g.Delete(ctx); err != nil {
			return err
		}
	}
	return g.DeleteParents()
}

// destroyScope: what is left is systemd's to remove, but on v1 not all of it.
func (g *Group) destroyScope(ctx context.Context) error {
	if err := g.Kill(ctx); err != nil {
		return err
	}
	if err := g.unit.stop(); err != nil {
		return failed("delete", g.path, err)
	}
	return g.Delete(ctx)
}

// removed removes the group where it is empty and has none below it.
func (g *Group) removed() bool {
	for _, dir := range g.host.dirs(g.path) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return false
		}
	}
	return true
}

// DeleteParents removes the groups above that peapod made for this one and
// that are empty now: "/peapod/web" and "/peapod" for "/peapod/web/app".
// Groups with another first name are an administrator's, and stay.
func (g *Group) DeleteParents() error {
	h, err := here() // all of it: a command may have been killed between parent and group
	if err != nil || g.host.mode == None {
		h = g.host
	}
	var errs []error
	for _, path := range ownParents(g.path) {
		for _, dir := range h.dirs(path) {
			err := unix.Rmdir(dir)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
				errs = append(errs, fmt.Errorf("remove %s: %w", dir, hint(err)))
			}
		}
	}
	if top := topOf(g.path); top != "" && len(errs) == 0 {
		h.stepBack(parent(top))
	}
	return failed("delete the parents", g.path, errors.Join(errs...))
}

// remove removes a directory of a hierarchy and those below it.
func remove(ctx context.Context, dir string, two bool) error {
	for wait := newDelay(); ; {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return fmt.Errorf("remove %s: %w", dir, hint(err))
		}
		if err := empty(ctx, dir, two, wait); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
}

// empty removes what is below a directory, and waits for the processes in it.
func empty(ctx context.Context, dir string, two bool, wait *delay) error {
	below, err := children(dir)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return hint(err)
	}
	for _, child := range below {
		if err := remove(ctx, child, two); err != nil {
			return err
		}
	}
	if len(below) > 0 {
		return nil
	}
	if two {
		if err := waitEvents(ctx, dir); err != nil {
			return err
		}
	}
	// Without an event there is nothing to wait for but time; and a group of
	// v2 may be busy for a moment after its last event.
	if err := wait.sleep(ctx); err != nil {
		return busy(dir, err)
	}
	return nil
}
