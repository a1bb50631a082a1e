package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/strict"
	"golang.org/x/sys/unix"
)

// The files of a container's directory. state.json says what never changes and
// is there before anything else is made; pid is there when the process is;
// start.fifo while the process waits to be started.
const (
	stateFile  = "state.json"
	pidFile    = "pid"
	startFIFO  = "start.fifo"
	reportFIFO = "report.fifo"
)

// record is state.json. It has what later commands need of the spec and no
// more: encoding all of that would cost every start a millisecond.
type record struct {
	OCIVersion  string                 `json:"ociVersion"`
	ID          string                 `json:"id"`
	Bundle      string                 `json:"bundle"`
	Rootfs      string                 `json:"rootfs"`
	Created     time.Time              `json:"created"`
	Owner       string                 `json:"owner"`
	Cgroup      string                 `json:"cgroup"`
	Hostname    string                 `json:"hostname,omitempty"`
	Annotations map[string]string      `json:"annotations,omitempty"`
	Process     *specs.Process         `json:"process"`
	Namespaces  []specs.LinuxNamespace `json:"namespaces"`
	Mounts      []string               `json:"mounts"` // where they are
}

// process names a process for good: pids come again, start times do not.
type process struct {
	pid       int
	startTime uint64 // clock ticks since boot
}

// writeOnce writes a file that was not there. Readers know by the end of its
// last line that it is whole: a rename would say the same, for up to 0.4 ms
// (ext4).
func writeOnce(path string, data []byte) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	data = append(data, '\n')
	n, err := unix.Write(fd, data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if e := unix.Close(fd); err == nil {
		err = e
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// readWhole reads what writeOnce wrote. What is still being written is not
// there: errors.Is tells fs.ErrNotExist.
func readWhole(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err == nil && !bytes.HasSuffix(data, []byte{'\n'}) {
		err = &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist}
	}
	return data, err
}

// replace writes a file that readers see whole or not at all. The temporary one
// is new: a link that somebody planted there is not followed.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".peapod-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (p process) save(dir string) error {
	return writeOnce(filepath.Join(dir, pidFile), fmt.Appendf(nil, "%d %d", p.pid, p.startTime))
}

func loadProcess(dir string) (p process, err error) {
	data, err := readWhole(filepath.Join(dir, pidFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if _, err := fmt.Sscanf(string(data), "%d %d", &p.pid, &p.startTime); err != nil {
		return p, fmt.Errorf("%s: %w", filepath.Join(dir, pidFile), err)
	}
	return p, nil
}

// stat reads what /proc/PID/stat says about pid: whether it has ended, and the
// time of its start (proc_pid_stat(5), fields 3, 20 and 22).
func stat(pid int) (ended bool, startTime uint64, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false, 0, err
	}
	// The command, in brackets, may hold anything.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return false, 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	startTime, err = strconv.ParseUint(fields[19], 10, 64)
	// The first thread may be a zombie while others run.
	ended = fields[0] == "X" || fields[0] == "Z" && fields[17] == "1"
	return ended, startTime, err
}

// alive tells whether the process still runs. A zombie does not.
func (p process) alive() bool {
	if p.pid == 0 {
		return false
	}
	ended, start, err := stat(p.pid)
	return err == nil && start == p.startTime && !ended
}

func (r *record) save(dir string) error {
	data, err := strict.Append(nil, r)
	if err != nil {
		return err
	}
	return writeOnce(filepath.Join(dir, stateFile), data)
}

// Load finds the container called id. errors.Is tells ErrNotExist.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{runtime: r, dir: r.dir(id)}
	data, err := readWhole(filepath.Join(c.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(c.dir); err == nil {
			// It is being made, or whoever made it was killed right then.
			c.record = record{ID: id}
			return c, nil
		}
		return nil, &Error{Op: "find", ID: id, Err: ErrNotExist}
	}
	if err != nil {
		return nil, wrap("load", id, err)
	}
	if err := strict.DecodeExtensible(filepath.Join(c.dir, stateFile), data, &c.record); err != nil {
		return nil, wrap("load", id, err)
	}
	if c.process, err = loadProcess(c.dir); err != nil {
		return nil, wrap("load", id, err)
	}
	return c, nil
}

// List returns all containers, sorted by id. One whose state cannot be read is
// left out with a line in the log.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(filepath.Join(r.root(), "containers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Container
	for _, e := range entries {
		c, err := r.Load(e.Name())
		if errors.Is(err, ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			r.log().Warn("a container's state cannot be read", "id", e.Name(), "error", err)
			continue
		}
		list = append(list, c)
	}
	return list, nil
}
