package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/nearest"
	"github.com/peapod/peapod/runtime"
)

// What callers branch on; errors.Is finds them.
var (
	ErrNotExist   = errors.New("no such pod")
	ErrExist      = errors.New("pod exists already")
	ErrRunning    = errors.New("pod is running")
	ErrNotRunning = errors.New("pod is not running")
)

// DefaultData is where the data of root's pods is kept that outlives their
// processes: logs, volumes, what containers wrote.
const DefaultData = "/var/lib/peapod"

// DefaultDataDir is DefaultData for root, $XDG_DATA_HOME/peapod for others, or
// ~/.local/share/peapod.
func DefaultDataDir() string {
	if rootless() {
		return userData()
	}
	return DefaultData
}

// Store is where pods are registered, so that every process of this machine
// finds them. The zero value is the default place. It has no state of its own.
type Store struct {
	// Root is the state directory; "" is runtime.DefaultRoot(). A pod's
	// state is in pods/<name> below it.
	Root string
	// Data is the data directory; "" is DefaultDataDir(). A pod's data is in
	// pods/<name> below it.
	Data string
	// Log gets what is no error; nil is nowhere.
	Log *slog.Logger
	// ServiceRanges are those that addresses of services are taken from, at most
	// one of each family, of the first where a service asks for none (see
	// CheckServiceRanges). A family that is not there has its default:
	// 127.96.0.0/16, which all network namespaces have, and
	// fd70:6561:706f:6400::/112. Other ranges are made local where they are used,
	// which takes CAP_NET_ADMIN, and refused where the host has other uses for
	// them. Processes need not agree: a service's record tells its ranges.
	ServiceRanges []netip.Prefix
}

// Record is a pod that was found in a store.
type Record struct {
	Pod    *Pod
	Status PodStatus
}

// place is where one pod is registered.
type place struct {
	name  string
	state string // $ROOT/pods/<name>
	data  string // $DATA/pods/<name>
	group string // of all of its processes; "" for none
}

func (p place) lockFile() string   { return filepath.Join(p.state, "lock") }
func (p place) specFile() string   { return filepath.Join(p.state, "pod.json") }
func (p place) statusFile() string { return filepath.Join(p.state, "status.json") }
func (p place) groupFile() string  { return filepath.Join(p.state, "group") }
func (p place) originFile() string { return filepath.Join(p.state, "origin.json") }
func (p place) cgroupFile() string { return filepath.Join(p.state, "cgroup") } // ordinary users'
func (p place) stopFile() string   { return filepath.Join(p.state, "stop.json") }
func (p place) shm() string        { return filepath.Join(p.state, "shm") }
func (p place) logs() string       { return filepath.Join(p.data, "logs") }
func (p place) volumes() string    { return filepath.Join(p.data, "volumes") }
func (p place) log() string        { return filepath.Join(p.data, "supervisor.log") }

func (p place) containerLog(container string) string {
	return filepath.Join(p.logs(), container+".log")
}

// containerID is the container's name in package runtime.
func (p place) containerID(container string) string { return p.name + "." + container }

func (s *Store) root() string { return absolute(s.Root, runtime.DefaultRoot()) }

func (s *Store) dataDir() string { return absolute(s.Data, DefaultDataDir()) }

// absolute keeps a supervisor that changes its directory from losing its way.
func absolute(dir, otherwise string) string {
	if dir == "" {
		return otherwise
	}
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

func (s *Store) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (s *Store) place(name string) (place, error) {
	if err := CheckName(name); err != nil {
		return place{}, err
	}
	root := s.root()
	unique := uniqueName(root, name)
	p := place{
		name:  name,
		state: filepath.Join(root, "pods", name),
		data:  filepath.Join(s.dataDir(), "pods", unique),
		group: "/peapod/" + unique,
	}
	if rootless() {
		p.group = p.notedGroup()
	}
	return p, nil
}

// uniqueName names a pod among those of all roots. There is one tree of cgroups
// for all, and there may be one data directory; what an earlier pod of the name
// left in them goes when a pod starts, and must not be another's.
func uniqueName(root, name string) string {
	if root == runtime.DefaultRoot() {
		return name
	}
	h := fnv.New32a()
	io.WriteString(h, root)
	return fmt.Sprintf("%s.%08x", name, h.Sum32())
}

func (s *Store) runtime() *runtime.Runtime { return &runtime.Runtime{Root: s.root(), Log: s.Log} }

// claim registers a pod of this name for the calling process.
func (s *Store) claim(name string, group groupMark) (place, *os.File, error) {
	p, err := s.place(name)
	if err != nil {
		return p, nil, err
	}
	// Specs and statuses hold the values of variables: they are for root only.
	if err := makePrivate(filepath.Dir(p.state)); err != nil {
		return p, nil, err
	}
	if err := os.Mkdir(p.state, 0o700); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return p, nil, err
		}
		running, err := p.supervised()
		if err != nil {
			return p, nil, fmt.Errorf("pod %s: %w", name, err)
		}
		if running {
			return p, nil, fmt.Errorf("pod %s: %w and runs: stop and remove it (peapod pod rm -f %s), or choose another name (--name)", name, ErrExist, name)
		}
		return p, nil, fmt.Errorf("pod %s: %w and has ended: remove it (peapod pod rm %s), or choose another name (--name)", name, ErrExist, name)
	}
	f, err := p.lock()
	if err == nil {
		err = p.mark(group) // seen by all who see the signature
	}
	if err == nil {
		err = p.sign(f)
	}
	if err != nil {
		os.RemoveAll(p.state)
		return p, nil, fmt.Errorf("pod %s: %w", name, err)
	}
	return p, f, nil
}

// makePrivate makes a directory that only its owner gets into, whatever the
// umask is and whoever made it before.
func makePrivate(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// Get returns the pod called name, or ErrNotExist.
func (s *Store) Get(name string) (*Record, error) {
	p, err := s.place(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.state); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pod %s: %w%s", name, ErrNotExist, s.otherPods(name))
	} else if err != nil {
		return nil, fmt.Errorf("pod %s: %w", name, denied(err))
	}
	r := &Record{Pod: &Pod{Metadata: Metadata{Name: name}}}
	if err := readJSON(p.specFile(), r.Pod); err != nil {
		return nil, fmt.Errorf("pod %s: %w", name, denied(err))
	}
	if err := readJSON(p.statusFile(), &r.Status); err != nil {
		return nil, fmt.Errorf("pod %s: %w", name, denied(err))
	}
	if r.Status.finished() {
		return r, nil
	}
	running, err := p.supervised()
	switch {
	case err != nil:
		return nil, fmt.Errorf("pod %s: %w", name, err)
	case !running:
		r.Status.lost(s.runtime())
	case r.Status.Phase == "":
		r.Status.Phase = PodPending // its supervisor has only begun
	}
	return r, nil
}

// otherPods says which pods there are, where somebody has named one that is not.
func (s *Store) otherPods(name string) string {
	entries, _ := os.ReadDir(filepath.Join(s.root(), "pods"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	switch near := nearest.Name(name, names); {
	case near != "":
		return "; did you mean " + near + "?"
	case len(names) == 0:
		return "; there is none at all"
	}
	return " (peapod pod ps lists them)"
}

// denied tells whose pods these are to somebody who may not see them.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: its pods belong to another user; use sudo", err)
	}
	return err
}

// lost turns the status of a pod whose supervisor died into what it is. Its
// containers ended with it, but for those that had shed that (set-user-id
// programs do): they run until somebody stops or removes the pod.
func (s *PodStatus) lost(rt *runtime.Runtime) {
	s.Phase, s.Reason = PodFailed, ReasonLost
	s.Message = "its supervisor died; peapod pod rm clears up"
	code := 1
	s.ExitCode = &code
	for i := range s.ContainerStatuses {
		c := &s.ContainerStatuses[i]
		c.Ready = false
		if left, err := rt.Load(c.ContainerID); err == nil && left.Pid() != 0 {
			c.PID = left.Pid()
			s.Message = "its supervisor died and container " + c.Name + " runs on; peapod pod stop ends it, peapod pod rm clears up"
			continue
		}
		c.PID = 0
		c.Started = false
		if r := c.State.Running; r != nil {
			c.State = ContainerState{Terminated: &StateTerminated{ExitCode: 137, Signal: 9, Reason: "Error", Message: s.Message, StartedAt: r.StartedAt}}
		}
	}
	s.setConditions()
}

// readJSON leaves v as it is where there is no such file.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// List returns all pods, sorted by name.
func (s *Store) List() ([]*Record, error) {
	entries, err := os.ReadDir(filepath.Join(s.root(), "pods"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, denied(err)
	}
	var list []*Record
	for _, e := range entries {
		r, err := s.Get(e.Name())
		switch {
		case errors.Is(err, ErrNotExist):
		case err != nil:
			s.log().Warn("a pod's state cannot be read", "pod", e.Name(), "error", err)
		default:
			list = append(list, r)
		}
	}
	return list, nil
}

// Container finds a pod's container in package runtime, for instance to
// execute something in it. container "" is the first of the spec.
func (s *Store) Container(name, container string) (*runtime.Container, error) {
	r, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	status, err := r.container(container)
	if err != nil {
		return nil, err
	}
	c, err := s.runtime().Load(status.ContainerID)
	if errors.Is(err, runtime.ErrNotExist) || err == nil && c.Pid() == 0 {
		return nil, r.notRunning(status, time.Now())
	}
	return c, err
}

// container finds the status of a container; "" is the first.
func (r *Record) container(name string) (*ContainerStatus, error) {
	var names []string
	for i := range r.Status.ContainerStatuses {
		c := &r.Status.ContainerStatuses[i]
		if c.Name == name || name == "" {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return nil, fmt.Errorf("pod %s has no container %q; it has %s", r.Pod.Metadata.Name, name, strings.Join(names, ", "))
}
