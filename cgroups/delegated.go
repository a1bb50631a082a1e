package cgroups

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Delegated gives the group of v2 below which the caller, who is not root, may make
// groups and start processes in them: the one that the caller's own is in, or its own,
// which takes no limits for those below it as long as processes are in it. It is theirs
// where an administrator, or systemd for services and scopes of a user's own manager,
// has given it to them (cgroups(7), "Delegation"). The error tells why there is none:
// ErrNotMounted, ErrUnsupported where v1 is in use, which cannot be delegated safely,
// or EACCES. The group at the mount point is "".
func Delegated() (string, error) {
	h, err := here()
	switch {
	case err != nil:
		return "", err
	case h.mode != V2:
		return "", fmt.Errorf("delegating a cgroup is %w where cgroup v1 is in use", ErrUnsupported)
	}
	text, err := readList("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	seat, ok := h.seatTwo(text)
	if !ok {
		return "", fmt.Errorf("the group that this process is in is not visible: %w", ErrNotExist)
	}
	if err = h.delegated(parent(seat)); err != nil && seat != "" {
		if e := h.delegated(seat); e == nil {
			return seat, nil
		}
	}
	return parent(seat), err
}

// parent of a path; that of the topmost is itself.
func parent(seat string) string {
	if i := strings.LastIndexByte(seat, '/'); i >= 0 {
		return seat[:i]
	}
	return seat
}

// delegated tells whether groups can be made below one, and processes started there:
// who moves between groups may write to cgroup.procs of what is above both.
func (h *host) delegated(group string) error {
	for _, file := range []string{"", "/cgroup.procs"} {
		if err := unix.Faccessat(unix.AT_FDCWD, h.unified+group+file, unix.W_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("%s: %w", h.unified+group+file, err)
		}
	}
	return nil
}

// Below tells whether a group's path lies below another's, "" for that at the mount
// point.
func Below(unsafePath, above string) bool {
	clean, err := cleanPath(unsafePath)
	return err == nil && strings.HasPrefix(clean, above+"/")
}
