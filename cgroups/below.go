package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Below gives the group at sub below g, which has to be there in every
// hierarchy: ErrNotExist names the directory that is missing. A sub that begins
// with a slash, or has "..", does not lead out of g.
func (g *Group) Below(sub string) (*Group, error) {
	clean, err := cleanPath(g.path + path.Join("/", sub))
	if err != nil {
		return nil, failed("look below", g.path, err)
	}
	for _, dir := range g.host.dirs(clean) {
		if !exists(dir) {
			return nil, failed("find "+dir+" below", g.path, ErrNotExist)
		}
	}
	return &Group{host: g.host, path: clean}, nil
}

// StepBelow moves the calling thread, which is on a visit (Enter calls it), on
// to the group at sub below g in the v1 hierarchy of one controller. The error
// is ErrNoController where v2 has that: a process has but one place there.
func (g *Group) StepBelow(controller, sub string) error {
	l := g.host.find(controller)
	if l == nil {
		return failed("enter "+sub+" below", g.path, fmt.Errorf("the v1 hierarchy of %s: %w", controller, ErrNoController))
	}
	dir := l.dir + g.path + path.Join("/", sub)
	if !exists(dir) {
		return failed("find "+dir+" below", g.path, ErrNotExist)
	}
	if err := writeFile(dir+"/tasks", "0"); err != nil {
		return failed("enter "+dir, g.path, explainAdd(err))
	}
	return nil
}

// DescriptorOf is Descriptor for the group of v2 in which a process is. It is
// for a group that has become a parent: the kernel lets no process into one that
// has limits below it (EBUSY, "no internal processes"), so what was in there has
// moved on, and others follow it.
func (g *Group) DescriptorOf(pid int) (*os.File, error) {
	text, err := readList("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, failed("follow process "+strconv.Itoa(pid)+" from", g.path, err)
	}
	seat, ok := g.host.seatTwo(text)
	if !ok {
		return nil, failed("follow process "+strconv.Itoa(pid)+" from", g.path, errors.New("it is in no visible group"))
	}
	fd, err := open(g.host.unified+seat, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, failed("open "+seat, g.path, hint(err))
	}
	return os.NewFile(uintptr(fd), g.host.unified+seat), nil
}

// seatTwo finds the line of v2, "0::/path", in the text of /proc/PID/cgroup.
func (h *host) seatTwo(text string) (path string, ok bool) {
	for line := range strings.SplitSeq(text, "\n") {
		if seat, found := strings.CutPrefix(line, "0::"); found && h.unified != "" {
			path, ok = strings.CutPrefix(seat, strings.TrimSuffix(h.root, "/"))
			return path, ok && (path == "" || path[0] == '/') && !strings.HasPrefix(path, "/..")
		}
	}
	return "", false
}
