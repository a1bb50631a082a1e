package runtime

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mountLine is a line of a mount table (proc_pid_mountinfo(5)).
type mountLine struct {
	id     string
	device string // major:minor
	root   string // what of the file system is mounted
	target string
	idmap  bool
	// attributes are the MOUNT_ATTR_* among its options that restrict it.
	attributes uint64
	kind       string
	source     string
}

// readMounts reads the mount table of a process ("self", "1").
func readMounts(process string) ([]mountLine, error) {
	text, err := os.ReadFile("/proc/" + process + "/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []mountLine
	for line := range strings.Lines(string(text)) {
		m, err := parseMountLine(line)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func parseMountLine(line string) (m mountLine, err error) {
	left, right, _ := strings.Cut(line, " - ")
	l, r := strings.Fields(left), strings.Fields(right)
	if len(l) < 6 || len(r) < 2 {
		return m, fmt.Errorf("mountinfo: %q is not understood", line)
	}
	m = mountLine{id: l[0], device: l[2], root: unescapeMount(l[3]), target: unescapeMount(l[4]), kind: r[0], source: unescapeMount(r[1])}
	for option := range strings.SplitSeq(l[5], ",") {
		switch option {
		case "idmapped":
			m.idmap = true
		case "ro":
			m.attributes |= unix.MOUNT_ATTR_RDONLY
		case "nosuid":
			m.attributes |= unix.MOUNT_ATTR_NOSUID
		case "nodev":
			m.attributes |= unix.MOUNT_ATTR_NODEV
		case "noexec":
			m.attributes |= unix.MOUNT_ATTR_NOEXEC
		case "nosymfollow":
			m.attributes |= unix.MOUNT_ATTR_NOSYMFOLLOW
		}
	}
	return m, nil
}

// unescapeMount undoes what the kernel does to blanks and backslashes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
