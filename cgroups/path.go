package cgroups

import (
	"fmt"
	"path"
	"strings"
)

// maxName is NAME_MAX: the kernel takes no longer directory names.
const maxName = 255

// cleanPath gives the group's path in its only form, "/a/b". What could name
// another group than the text suggests is refused, not resolved: "..", ".",
// control characters, the root itself, and names of the kernel's own files.
func cleanPath(unsafePath string) (string, error) {
	var names []string
	for name := range strings.SplitSeq(unsafePath, "/") {
		if name == "" {
			continue // doubled, leading and trailing slashes change nothing
		}
		if err := checkName(name); err != nil {
			return "", err
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%w path: it names the root group; give a path such as /peapod/web", ErrInvalid)
	}
	return "/" + strings.Join(names, "/"), nil
}

// checkName refuses one component of a path, with the reason.
func checkName(name string) error {
	switch {
	case name == "." || name == "..":
		return fmt.Errorf("%w path: %q is not allowed in it", ErrInvalid, name)
	case len(name) > maxName && !strings.Contains(name, "/"):
		return fmt.Errorf("%w path: a name in it has %d bytes, the kernel takes %d", ErrInvalid, len(name), maxName)
	case strings.HasPrefix(name, "cgroup."):
		return fmt.Errorf("%w path: %q is reserved for the kernel's files", ErrInvalid, name)
	case strings.ContainsFunc(name, isControl):
		return fmt.Errorf("%w path: %q has a control character in it", ErrInvalid, name)
	}
	return nil
}

// isControl holds for what breaks the lines of /proc/PID/cgroup or a terminal.
func isControl(r rune) bool {
	return r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd' || r == '\u2028' || r == '\u2029'
}

// ownTop is the first name of the paths that peapod itself chooses.
const ownTop = "/peapod"

// own holds for a group whose path peapod chose.
func own(clean string) bool { return topOf(clean) != "" }

// topOf gives the part of a path up to where peapod's own groups begin: "/peapod", for
// ordinary users below what is delegated to them. It is "" for others' paths.
func topOf(clean string) string {
	switch at := strings.Index(clean+"/", ownTop+"/"); {
	case at < 0, at > 0 && !ordinary():
		return ""
	default:
		return clean[:at+len(ownTop)]
	}
}

// ownParents lists the ancestors of a group that peapod made for it, deepest
// first: "/peapod/web/app" gives "/peapod/web" and "/peapod". Groups that an
// administrator chose (any other first name) are not peapod's to remove.
func ownParents(clean string) []string {
	top := topOf(clean)
	var list []string
	for dir := path.Dir(clean); top != "" && inside(dir, top); dir = path.Dir(dir) {
		list = append(list, dir)
	}
	return list
}
