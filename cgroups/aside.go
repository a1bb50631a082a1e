package cgroups

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// asideName is the group for who makes the others, as systemd's DelegateSubgroup has it
// in its examples.
const asideName = "/supervisor"

// asideMark is on one that peapod has made, not systemd or somebody else.
const asideMark = "user.peapod"

// settling is held while groups are made by several who may step aside, and alone by
// who steps back.
var settling sync.RWMutex

// StepAside moves the calling process, of an ordinary user, into the group "supervisor"
// below its own, where that is delegated to them and has no other process: cgroup v2
// allows limits only below groups without processes. New does it when it has to. It is
// for who is about to start another process that makes groups. moved tells whether
// there was anything to do.
func StepAside() (moved bool, err error) {
	h, err := here()
	if err != nil || h.mode != V2 || !ordinary() {
		return false, nil
	}
	base, err := h.base()
	if err != nil {
		return false, nil
	}
	return h.stepAside(base)
}

// Share lets a scope have groups with limits below it: the process that keeps the
// scope moves out of the way, and stays until Destroy. It is for who has just made it.
func (g *Group) Share() error {
	if g.unit == nil || g.unit.holder == nil {
		return nil
	}
	dir := g.host.unified + g.path + asideName
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return failed("make "+dir, g.path, hint(err))
	}
	err := writeFile(dir+"/cgroup.procs", strconv.Itoa(g.unit.holder.Pid))
	return failed("move the process that keeps the scope into "+dir, g.path, explainAdd(err))
}

// stepAside leaves a group that nobody else is in.
func (h *host) stepAside(path string) (moved bool, err error) {
	dir := h.unified + path
	list, err := procsIn(dir)
	if err != nil || len(list) != 1 || list[0] != os.Getpid() {
		return false, err
	}
	switch err := unix.Mkdir(dir+asideName, 0o755); {
	case err == nil:
		_ = unix.Setxattr(dir+asideName, asideMark, []byte("1"), 0) // else it stays
	case !errors.Is(err, unix.EEXIST):
		return false, &step{"make " + dir + asideName, hint(err)}
	}
	if err := writeFile(dir+asideName+"/cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
		return false, &step{"move this process into " + dir + asideName, explainAdd(err)}
	}
	return true, nil
}

// aside is stepAside for who finds a group busy that is to have limits below it. A
// process of root's is not moved: where it is an administrator has put it.
func (h *host) aside(path string) bool {
	if !ordinary() {
		return false
	}
	// Another goroutine may have moved the process a moment ago.
	moved, err := h.stepAside(path)
	if err == nil && !moved {
		list, e := procsIn(h.unified + path)
		moved = e == nil && len(list) == 0
	}
	return moved
}

// stepBack takes back what aside has done to a group, once the last of the others is
// gone: the controllers are switched off, by which processes may be in it again.
func (h *host) stepBack(path string) {
	if !ordinary() || h.mode != V2 || !settling.TryLock() {
		return
	}
	defer settling.Unlock()
	dir := h.unified + path
	leaf := dir + asideName
	var value [8]byte
	if n, err := unix.Getxattr(leaf, asideMark, value[:]); err != nil || n == 0 || exists(dir+ownTop) {
		return
	}
	list, err := procsBelow(leaf)
	if err != nil || len(others(list)) > 0 {
		return
	}
	on, err := readFile(dir + "/cgroup.subtree_control")
	if err == nil && on != "" {
		err = writeFile(dir+"/cgroup.subtree_control", "-"+strings.Join(strings.Fields(on), " -"))
	}
	if err == nil && len(list) > 0 {
		err = writeFile(dir+"/cgroup.procs", strconv.Itoa(os.Getpid()))
	}
	if err == nil {
		_ = unix.Rmdir(leaf)
	}
}
