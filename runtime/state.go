package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/proc"
	"github.com/peapod/peapod/internal/strict"
	"golang.org/x/sys/unix"
)

// The files of a container's directory. state.json says what hardly ever changes and
// is there before anything else is made; pid is there when the process is;
// steps, the names of those that follow the start, as long as one may fail;
// start.fifo while the process waits to be started.
const (
	stateFile  = "state.json"
	pidFile    = "pid"
	startFIFO  = "start.fifo"
	reportFIFO = "report.fifo"
	stepsFile  = "steps"
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
	NoCgroup    string                 `json:"noCgroup,omitempty"` // why root's has none
	Hostname    string                 `json:"hostname,omitempty"`
	Annotations map[string]string      `json:"annotations,omitempty"`
	Process     *specs.Process         `json:"process"`
	Namespaces  []specs.LinuxNamespace `json:"namespaces"`
	Mounts      []string               `json:"mounts"` // where they are
	NoExec      []string               `json:"noexec,omitempty"`
	Seccomp     *savedFilter           `json:"seccomp,omitempty"`
	Hooks       *specs.Hooks           `json:"hooks,omitempty"`

	IntelRdt     *specs.LinuxIntelRdt     `json:"intelRdt,omitempty"`
	Personality  *specs.LinuxPersonality  `json:"personality,omitempty"`
	MemoryPolicy *specs.LinuxMemoryPolicy `json:"memoryPolicy,omitempty"`
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

func saveProcess(dir string, id proc.ID) error {
	return writeOnce(filepath.Join(dir, pidFile), []byte(id.String()))
}

// loadProcess reads what saveProcess wrote: none where there is nothing yet.
func loadProcess(dir string) (proc.ID, error) {
	data, err := readWhole(filepath.Join(dir, pidFile))
	if errors.Is(err, fs.ErrNotExist) {
		return proc.ID{}, nil
	}
	if err != nil {
		return proc.ID{}, err
	}
	id, err := proc.Parse(data)
	if err != nil {
		return id, fmt.Errorf("%s: %w", filepath.Join(dir, pidFile), err)
	}
	return id, nil
}

func (r *record) save(dir string) error {
	data, err := strict.Append(nil, r)
	if err != nil {
		return err
	}
	return writeOnce(filepath.Join(dir, stateFile), data)
}

// replace saves a record that has changed.
func (r *record) replace(dir string) error {
	data, err := strict.Append(nil, r)
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, stateFile), append(data, '\n'))
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
