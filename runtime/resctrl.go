package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// resctrl is where the kernel's resource control is mounted (runtime-spec,
// "IntelRdt"). A container's class is a directory there.
type resctrl struct{ dir string }

// findResctrl looks for the mount; the error tells what is missing.
func findResctrl() (resctrl, error) {
	const dir = "/sys/fs/resctrl"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.RDTGROUP_SUPER_MAGIC {
		return resctrl{}, fmt.Errorf("linux.intelRdt: no resctrl is mounted on %s: the processor or the kernel has none, or do: mount -t resctrl resctrl %s", dir, dir)
	}
	return resctrl{dir}, nil
}

// checkRdt refuses what would leave the directory, or a line.
func checkRdt(r *specs.LinuxIntelRdt) error {
	if r == nil {
		return nil
	}
	if r.ClosID != "/" && (strings.Contains(r.ClosID, "/") || r.ClosID == "." || r.ClosID == ".." || strings.ContainsRune(r.ClosID, 0)) {
		return fmt.Errorf("linux.intelRdt.closID %q: give the name of a directory of resctrl, or / for the default class", r.ClosID)
	}
	for _, line := range rdtLines(r) {
		if strings.ContainsAny(line, "\n\x00") {
			return fmt.Errorf("linux.intelRdt: the schema %q has more than one line", line)
		}
	}
	if s := r.MemBwSchema; s != "" && !strings.HasPrefix(s, "MB:") {
		return fmt.Errorf("linux.intelRdt.memBwSchema %q: begin it with MB: and the bandwidths", s)
	}
	_, err := findResctrl()
	return err
}

// rdtLines are the lines of the schemata, in the order of their writing.
func rdtLines(r *specs.LinuxIntelRdt) (lines []string) {
	for _, s := range []string{r.L3CacheSchema, r.MemBwSchema} {
		if s != "" {
			lines = append(lines, s)
		}
	}
	return append(lines, r.Schemata...)
}

// class is the directory of a container's class.
func (c resctrl) class(r *specs.LinuxIntelRdt, id string) string {
	if r.ClosID == "" {
		return filepath.Join(c.dir, id)
	}
	return filepath.Join(c.dir, r.ClosID)
}

// enter puts a process into its class, which is made where the specification
// says so.
func (c resctrl) enter(r *specs.LinuxIntelRdt, id string, pid int) error {
	dir, lines := c.class(r, id), rdtLines(r)
	err := os.Mkdir(dir, 0o755)
	exists := errors.Is(err, fs.ErrExist)
	switch {
	case err != nil && !exists:
		return fmt.Errorf("linux.intelRdt: make the class: %w", err)
	case !exists && r.ClosID != "" && len(lines) == 0:
		os.Remove(dir)
		return fmt.Errorf("linux.intelRdt.closID %q: there is no such class: make it, or give a schema", r.ClosID)
	case exists && r.ClosID != "" && len(lines) > 0:
		err = sameSchemata(filepath.Join(dir, "schemata"), lines)
	default:
		err = writeLines(filepath.Join(dir, "schemata"), lines)
	}
	if err == nil {
		err = writeLines(filepath.Join(dir, "tasks"), []string{strconv.Itoa(pid)})
	}
	if err == nil && r.EnableMonitoring {
		if err = os.Mkdir(filepath.Join(dir, "mon_groups", id), 0o755); err == nil {
			err = writeLines(filepath.Join(dir, "mon_groups", id, "tasks"), []string{strconv.Itoa(pid)})
		}
	}
	if err != nil {
		return fmt.Errorf("linux.intelRdt: %w", err)
	}
	return nil
}

// UpdateRdt changes the schemata of the container's class of resctrl: L3CacheSchema,
// MemBwSchema and Schemata, what is given of them. What else is in the class changes
// with it. The error tells where the container has no class, or the kernel takes no
// such line.
func (c *Container) UpdateRdt(to *specs.LinuxIntelRdt) error {
	err := checkRdt(to)
	own := c.Spec().Linux
	switch {
	case err != nil:
	case own == nil || own.IntelRdt == nil:
		err = errors.New("it was made without linux.intelRdt: it has no class of its own to change")
	default:
		var found resctrl
		if found, err = findResctrl(); err == nil {
			err = found.change(own.IntelRdt, c.ID(), to)
		}
	}
	return wrap("update", c.ID(), err)
}

func (c resctrl) change(r *specs.LinuxIntelRdt, id string, to *specs.LinuxIntelRdt) error {
	if err := writeLines(filepath.Join(c.class(r, id), "schemata"), rdtLines(to)); err != nil {
		return fmt.Errorf("linux.intelRdt: %w", err)
	}
	return nil
}

func writeLines(file string, lines []string) error {
	for _, line := range lines {
		if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sameSchemata compares with what a class that is there already has: line by
// line, and those of one resource part by part.
func sameSchemata(file string, lines []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	have := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		kind, parts, _ := strings.Cut(strings.TrimSpace(line), ":")
		have[kind] = strings.Split(parts, ";")
	}
	for _, line := range lines {
		kind, parts, _ := strings.Cut(strings.TrimSpace(line), ":")
		for part := range strings.SplitSeq(parts, ";") {
			if !slices.Contains(have[kind], part) {
				return fmt.Errorf("the class exists with another schema for %s: %s, not %s", kind, strings.Join(have[kind], ";"), part)
			}
		}
	}
	return nil
}

// leave removes what enter made for the container alone.
func (c resctrl) leave(r *specs.LinuxIntelRdt, id string) {
	dir := c.class(r, id)
	if r.EnableMonitoring {
		os.Remove(filepath.Join(dir, "mon_groups", id))
	}
	if r.ClosID == "" {
		os.Remove(dir)
	}
}
