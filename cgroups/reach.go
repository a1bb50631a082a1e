package cgroups

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/systemd"
	"golang.org/x/sys/unix"
)

// Reaches tells whether what the caller starts can be born in the group at path, which
// need not be there yet. Root reaches all. Ordinary users have to be allowed to write
// where their own group's and that one's ways part: what they may have below their
// systemd is out of reach for a login session, and Attach leads there.
func Reaches(path string) bool {
	if !ordinary() {
		return true
	}
	h, err := here()
	if err != nil || h.unified == "" {
		return true // whatever there is to say, others say it better
	}
	clean, err := Place(path)
	if err != nil {
		return true
	}
	own, ok := h.ownSeat()
	if !ok {
		return false
	}
	common := commonGroup(own, clean)
	return unix.Faccessat(unix.AT_FDCWD, h.unified+common+"/cgroup.procs", unix.W_OK, unix.AT_EACCESS) == nil
}

// commonGroup is the lowest group that two paths are at or below; "" is the root.
func commonGroup(a, b string) string {
	for at := a; ; at = parent(at) {
		if inside(b, at) || at == "" {
			return at
		}
	}
}

// Attachable tells why Attach cannot bring a process into the group at path: no systemd
// of the user's has it.
func Attachable(path string) error {
	h, err := here()
	if err == nil {
		path, err = Place(path)
	}
	if err != nil {
		return failed("reach", path, err)
	}
	uid, ok := systemd.User()
	if unit, _ := unitOf(path, managerName(uid)); ok && unit != "" {
		return nil
	}
	top, _ := h.delegatedTo(path)
	return fmt.Errorf("%w: only who is in %s, which was delegated to this user, or below it may start something there; "+
		"run peapod from there, or with sudo", unix.EACCES, named(top))
}

// Attach has the user's systemd move a process of theirs into the group, where Reaches
// says no. The group is a scope, or below a unit that is delegated.
func (g *Group) Attach(pid int) error {
	defer g.unit.release()
	if err := Attachable(g.path); err != nil {
		return failed(fmt.Sprintf("add process %d", pid), g.path, err)
	}
	uid, _ := systemd.User()
	unit, sub := unitOf(g.path, managerName(uid))
	err := ask(func(ctx context.Context, c *systemd.Conn) error { return c.Attach(ctx, unit, sub, pid) })
	if err != nil {
		return failed(fmt.Sprintf("add process %d", pid), g.path, err)
	}
	text, err := readList("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if seat, ok := g.host.seatTwo(text); err == nil && (!ok || !inside(seat, g.path)) {
		err = fmt.Errorf("systemd has left it in %s", seat)
	}
	return failed(fmt.Sprintf("add process %d", pid), g.path, err)
}

// AttachWhere is Attach for the group of v2 in which another process is.
func (g *Group) AttachWhere(pid, other int) error {
	text, err := readList("/proc/" + strconv.Itoa(other) + "/cgroup")
	if err != nil {
		return failed("follow process "+strconv.Itoa(other)+" from", g.path, err)
	}
	seat, ok := g.host.seatTwo(text)
	if !ok {
		return failed("follow process "+strconv.Itoa(other)+" from", g.path, os.ErrNotExist)
	}
	return (&Group{host: g.host, path: seat}).Attach(pid)
}

// unitOf takes a path below the user's systemd apart: the unit, which is the first
// group that is no slice, and the rest.
func unitOf(path, manager string) (unit, sub string) {
	_, rest, ok := strings.Cut(path, manager+"/")
	for ok {
		name, below, more := strings.Cut(rest, "/")
		if strings.HasSuffix(name, ".scope") || strings.HasSuffix(name, ".service") {
			if more {
				sub = "/" + below
			}
			return name, sub
		}
		rest, ok = below, more
	}
	return "", ""
}
