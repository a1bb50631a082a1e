package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/peapod/peapod/internal/criu"
	"golang.org/x/sys/unix"
)

// ErrNoCRIU tells that the program criu, which saves and restores processes, is
// not installed.
var ErrNoCRIU = criu.ErrMissing

// CRIU says how the program criu saves processes and restores them (criu(8)).
// ImagePath is needed. What processes were saved with they are restored with.
type CRIU struct {
	// Program is the path of criu; "" looks in PATH.
	Program string
	// ImagePath is the directory of the images.
	ImagePath string
	// WorkPath is the directory of logs and statistics; "" is ImagePath. Both
	// are made where they are missing.
	WorkPath string
	// TCPEstablished takes open TCP connections along.
	TCPEstablished bool
	// ExternalUnix allows for unix sockets whose other end is outside.
	ExternalUnix bool
	// ShellJob allows for a terminal that is not the container's own.
	ShellJob bool
	// FileLocks takes file locks along.
	FileLocks bool
	// LazyPages has memory brought when it is needed, by "criu lazy-pages".
	LazyPages bool
	// AutoDedup removes from images what later ones have too.
	AutoDedup bool
	// ManageCgroups is how limits of groups below the container's are kept:
	// "soft", "full", "strict" or "ignore"; "" is criu's own choice, soft.
	ManageCgroups string
}

// configFile is where settings of criu for containers are, which win over the
// caller's. An annotation of that name gives another one, or, empty, none.
const (
	configFile       = "/etc/criu/runc.conf"
	configAnnotation = "org.criu.config"
)

// images is a directory of images while criu uses it.
type images struct {
	dir, work *os.File // work is nil where that is dir
	log       string   // the path of criu's log
}

// open opens the directories, which are made for a checkpoint.
func (o *CRIU) open(log string, make bool) (i *images, err error) {
	if o.ImagePath == "" {
		return nil, errors.New("the directory of the images is not given")
	}
	i = &images{log: filepath.Join(o.ImagePath, log)}
	if i.dir, err = openDirectory(o.ImagePath, make); err != nil {
		return nil, err
	}
	if o.WorkPath != "" {
		i.log = filepath.Join(o.WorkPath, log)
		if i.work, err = openDirectory(o.WorkPath, true); err != nil {
			i.dir.Close()
			return nil, err
		}
	}
	os.Remove(i.log) // an earlier one's errors are not ours
	return i, nil
}

func openDirectory(path string, make bool) (*os.File, error) {
	if make {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (i *images) close() {
	i.dir.Close()
	i.work.Close()
}

// request are criu's options, as far as saving and restoring have the same.
func (o *CRIU) request(i *images, annotations map[string]string, hasGroup bool) (*rpc.CriuOpts, error) {
	mode, err := groupMode(o.ManageCgroups, hasGroup)
	if err != nil {
		return nil, err
	}
	r := &rpc.CriuOpts{
		ImagesDirFd:       ptr(int32(i.dir.Fd())),
		LogFile:           ptr(filepath.Base(i.log)),
		LogLevel:          ptr(int32(4)),
		NotifyScripts:     ptr(true),
		TcpEstablished:    ptr(o.TCPEstablished),
		ExtUnixSk:         ptr(o.ExternalUnix),
		ShellJob:          ptr(o.ShellJob),
		FileLocks:         ptr(o.FileLocks),
		LazyPages:         ptr(o.LazyPages),
		AutoDedup:         ptr(o.AutoDedup),
		OrphanPtsMaster:   ptr(true),
		ManageCgroups:     ptr(mode != rpc.CriuCgMode_IGNORE),
		ManageCgroupsMode: ptr(mode),
		// Links and addresses are made by whoever made the network before.
		EmptyNs: ptr(uint32(unix.CLONE_NEWNET)),
	}
	if i.work != nil {
		r.WorkDirFd = ptr(int32(i.work.Fd()))
	}
	file, given := annotations[configAnnotation]
	if !given {
		file = configFile
	}
	if file != "" {
		r.ConfigFile = &file
	}
	return r, nil
}

func groupMode(name string, hasGroup bool) (rpc.CriuCgMode, error) {
	mode, ok := map[string]rpc.CriuCgMode{
		"": rpc.CriuCgMode_DEFAULT, "soft": rpc.CriuCgMode_SOFT, "full": rpc.CriuCgMode_FULL,
		"strict": rpc.CriuCgMode_STRICT, "ignore": rpc.CriuCgMode_IGNORE,
	}[name]
	if !ok {
		return 0, fmt.Errorf("the way to manage cgroups %q: give soft, full, strict or ignore", name)
	}
	if !hasGroup {
		mode = rpc.CriuCgMode_IGNORE
	}
	return mode, nil
}

func ptr[T any](v T) *T { return &v }

// explainCRIU adds to an error of criu what its log tells, and what to do.
func explainCRIU(err error, program *criu.Program, i *images) error {
	var refused *criu.Refused
	if !errors.As(err, &refused) && !errors.Is(err, criu.ErrEnded) {
		return err
	}
	text := criu.ErrorsIn(i.log)
	switch {
	case text == "":
		if _, e := os.Stat(i.log); e != nil {
			return err
		}
		return fmt.Errorf("%w (its log is %s)", err, i.log)
	case criu.Unknown(text):
		return fmt.Errorf("%w: criu %v does not know this kernel: install a newer one: %s (all of it in %s)", err, program.Version, text, i.log)
	}
	if strings.Contains(text, "has bad size") && strings.Contains(text, "fd/") {
		text += ": give it the files again that its output went to, appended to (>>)"
	}
	return fmt.Errorf("%w: %s (all of it in %s)", err, text, i.log)
}

// rootlessCRIU refuses ordinary users.
func rootlessCRIU() error {
	if !rootless() {
		return nil
	}
	return fmt.Errorf("%w: criu needs root to save and to restore a container's namespaces: run it with sudo, of root's containers", unix.EPERM)
}
