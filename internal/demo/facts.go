package demo

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxShown bounds lists on the page.
const maxShown = 200

// facts is what a process can see of the container that it is in. The names
// in JSON are part of what /json promises.
type facts struct {
	Pod         string            `json:"pod"`
	Hostname    string            `json:"hostname"`
	UID         int               `json:"uid"`
	GID         int               `json:"gid"`
	Pid         int               `json:"pid"`
	Directory   string            `json:"directory"`
	Uptime      string            `json:"uptime"`
	Visits      *int64            `json:"visits"` // null: the back end is away
	VisitsError string            `json:"visitsError,omitempty"`
	Backend     string            `json:"backend"`
	Arguments   []string          `json:"arguments"`
	Environment []string          `json:"environment"`
	Namespaces  map[string]string `json:"namespaces"`
	Cgroup      []string          `json:"cgroup"`
	Processes   []process         `json:"processes"`
}

type process struct {
	Pid     int    `json:"pid"`
	Command string `json:"command"`
}

// look gathers all but the visits. What cannot be read is left out: an image
// may well have no /proc.
func look(started time.Time) *facts {
	f := &facts{
		Pod:         os.Getenv("POD_NAME"),
		UID:         os.Getuid(),
		GID:         os.Getgid(),
		Pid:         os.Getpid(),
		Uptime:      time.Since(started).Truncate(time.Second).String(),
		Arguments:   os.Args,
		Environment: os.Environ(),
		Namespaces:  namespaces(),
		Cgroup:      lines("/proc/self/cgroup"),
		Processes:   processes(),
	}
	f.Hostname, _ = os.Hostname()
	f.Directory, _ = os.Getwd()
	slices.Sort(f.Environment)
	return f
}

func namespaces() map[string]string {
	entries, _ := os.ReadDir("/proc/self/ns")
	found := make(map[string]string)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/ns", e.Name()))
		if err != nil || strings.HasSuffix(e.Name(), "_for_children") {
			continue
		}
		_, inode, _ := strings.Cut(target, ":")
		found[e.Name()] = strings.Trim(inode, "[]")
	}
	return found
}

func processes() []process {
	entries, _ := os.ReadDir("/proc")
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue // it has ended meanwhile
		}
		found = append(found, process{pid, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))})
	}
	slices.SortFunc(found, func(a, b process) int { return a.Pid - b.Pid })
	return found[:min(len(found), maxShown)]
}

func lines(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return all[:min(len(all), maxShown)]
}
