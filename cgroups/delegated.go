package cgroups

import (
	"context"
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/systemd"
	"golang.org/x/sys/unix"
)

// ErrNotDelegated: no group is the user's, who is not root, to make others below.
var ErrNotDelegated = errors.New("no cgroup is delegated to this user")

// ordinary tells that the caller is not root, or is that in a user namespace only, and
// so has at most a part of the tree.
func ordinary() bool {
	_, ok := systemd.User()
	return ok
}

// mine tells whether a directory of v2 is delegated to the caller: whoever may write
// these may make groups, switch controllers on and move processes
// (admin-guide/cgroup-v2.rst, "Model of Delegation").
func mine(dir string) bool {
	for _, file := range []string{"", "/cgroup.procs", "/cgroup.subtree_control"} {
		if unix.Faccessat(unix.AT_FDCWD, dir+file, unix.W_OK, unix.AT_EACCESS) != nil {
			return false
		}
	}
	return true
}

// parent of a path, "" for the group at the mount point.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

// delegatedTo gives the topmost group at or above path that is the caller's, or ok is
// false.
func (h *host) delegatedTo(path string) (top string, ok bool) {
	for at := path; ; at = parent(at) {
		if mine(h.unified + at) {
			top, ok = at, true
		}
		if at == "" {
			return top, ok
		}
	}
}

// managerName is the directory in which the user's systemd has all of its groups.
func managerName(uid int) string { return fmt.Sprintf("/user@%d.service", uid) }

// managerPath is the group of the user's systemd: the one that the caller is below, or
// where it always is.
func (h *host) managerPath(uid int) string {
	name := managerName(uid)
	if own, ok := h.ownSeat(); ok {
		if before, _, found := strings.Cut(own+"/", name+"/"); found {
			return before + name
		}
	}
	return fmt.Sprintf("/user.slice/user-%d.slice%s", uid, name)
}

// ownSeat is where in v2 the caller is.
func (h *host) ownSeat() (path string, ok bool) {
	text, err := readList("/proc/self/cgroup")
	if err != nil {
		return "", false
	}
	return h.seatTwo(text)
}

// base is the group that is the caller's to make groups in, at or above their own:
// the topmost one that they may write. Below the user's systemd all is theirs to write
// and systemd's to arrange, but for units with Delegate=yes (systemd's
// CGROUP_DELEGATION.md), which it is asked for where the caller is alone in one.
func (h *host) base() (path string, err error) {
	own, ok := h.ownSeat()
	if !ok {
		return "", fmt.Errorf("%w: this process is in none that is visible below %s", ErrNotDelegated, h.unified)
	}
	uid, _ := systemd.User()
	if !inside(own, h.managerPath(uid)) {
		if path, ok = h.delegatedTo(own); !ok {
			return "", fmt.Errorf("%w: %s belongs to somebody else", ErrNotDelegated, named(own))
		}
		return path, nil
	}
	unit, sub := unitOf(own, managerName(uid))
	if path = strings.TrimSuffix(own, sub); unit == "" {
		return "", fmt.Errorf("%w: %s is its systemd's", ErrNotDelegated, named(own))
	}
	if err := h.roomIn(path); err != nil {
		return "", err
	}
	err = ask(func(ctx context.Context, c *systemd.Conn) (err error) {
		ok, err = c.Delegated(ctx, unit)
		return err
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: the unit %s has no Delegate=yes", ErrNotDelegated, unit)
	}
	return path, err
}

// named shows a path, of which the root's is "".
func named(path string) string {
	if path == "" {
		return "the group /"
	}
	return "the group " + path
}

// Home says where an ordinary user's groups are made.
type Home struct {
	base  string
	scope bool // by the user's systemd
}

// FindHome looks for a place for the groups of the caller, who is an ordinary user:
// below a group that is delegated to them and has this process in it or below, or, with
// limits alone, in a scope of their own systemd, which takes some milliseconds. The
// error, ErrNotDelegated, says why there is neither, and what to do. It makes nothing.
func FindHome(limits bool) (Home, error) {
	h, err := here()
	if err != nil {
		return Home{}, err
	}
	return h.home(limits)
}

func (h *host) home(limits bool) (Home, error) {
	if h.mode != V2 {
		return Home{}, fmt.Errorf("%w: this host has its controllers on cgroup v1, which are root's alone; "+
			"boot it with cgroup v2 (systemd.unified_cgroup_hierarchy=1)", ErrNotDelegated)
	}
	base, err := h.base()
	if err == nil && limits {
		err = h.roomIn(base)
	}
	if err == nil {
		return Home{base: base}, nil
	}
	if !limits {
		return Home{}, err
	}
	uid, _ := systemd.User()
	if !systemd.UserRuns(uid) {
		return Home{}, fmt.Errorf("%w, and no systemd of user %d runs, which would give one: log in by a login manager, ssh or machinectl shell (not su), "+
			"or have root run: loginctl enable-linger %d", err, uid, uid)
	}
	return Home{scope: true}, nil
}

// roomIn tells why limits cannot be had below a group: it has processes of others.
func (h *host) roomIn(base string) error {
	list, err := procsIn(h.unified + base)
	if err != nil {
		return hint(err)
	}
	if rest := others(list); len(rest) > 0 {
		return fmt.Errorf("%w with room for limits: %s is, but has %s in it, and cgroup v2 allows limits only below groups without; "+
			"move them into a group below it", ErrNotDelegated, named(base), few(rest))
	}
	return nil
}

// procsIn lists the processes in a group, not those below it.
func procsIn(dir string) ([]int, error) {
	text, err := readList(dir + "/cgroup.procs")
	return numbers(text), err
}

// Scope tells whether systemd makes the groups: Group's is one of its paths then.
func (h Home) Scope() bool { return h.scope }

// Group gives the path of a group called name, as New takes it.
func (h Home) Group(name string) string {
	if h.scope {
		return defaultSlice() + ":peapod:" + strings.ReplaceAll(name, "+", `\x2b`)
	}
	return h.base + ownTop + "/" + name
}

// Check tells why a group at path cannot have the limits of r, before anything is made.
func Check(path string, r *specs.LinuxResources) error {
	h, err := here()
	if err != nil {
		return failed("make", path, err)
	}
	clean, err := Place(path)
	if err == nil {
		_, err = h.at(clean).plan(&Options{Resources: r})
	}
	return failed("make", path, err)
}
