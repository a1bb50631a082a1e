package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/inroot"
	"github.com/peapod/peapod/rootfs"
)

// Resolved is a container with all that the spec leaves to the image and to
// defaults filled in.
type Resolved struct {
	Container *Container
	Image     *Image
	// Process has args, env, cwd, user, capabilities and no_new_privs.
	Process *specs.Process
	// Seccomp is the profile of its system calls; nil is none.
	Seccomp *specs.LinuxSeccomp
}

// Resolve looks at what the spec refers to on this machine, before anything is
// made: images, the commands in them, host paths. It returns the containers in
// the order of the spec. The error is an *Errors; for a command that is missing
// or cannot be executed errors.As finds a *rootfs.LookPathError in it, whose
// exit code is 127 or 126.
//
// A command is not looked for where a mount may hide the image: below a
// mountPath of the container, below /proc, /sys and /dev.
func (p *Pod) Resolve() ([]*Resolved, error) {
	ps := &problems{object: p, pod: p}
	list := make([]*Resolved, len(p.Spec.Containers))
	images := map[string]*Image{}
	for i := range p.Spec.Containers {
		r, err := p.resolve(i, images)
		if err != nil {
			ps.add(err)
		}
		list[i] = r
	}
	for i := range p.Spec.Volumes {
		if h := p.Spec.Volumes[i].HostPath; h != nil {
			if err := p.checkHostPath(h); err != nil {
				ps.addf(fmt.Sprintf("spec.volumes[%d].hostPath.path", i), "%w", err)
			}
		}
	}
	if err := ps.errs.Err(); err != nil {
		return nil, err
	}
	return list, nil
}

func (p *Pod) resolve(i int, images map[string]*Image) (*Resolved, error) {
	c, at := &p.Spec.Containers[i], containerPath(i)
	im, err := images[c.Image], error(nil)
	if im == nil {
		if im, err = p.Image(c.Image); err != nil {
			return nil, p.Errorf(at+".image", "%w", err)
		}
		images[c.Image] = im
	}
	var root *os.File
	if !im.Builtin() {
		if root, err = os.OpenFile(im.Root, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return nil, p.Errorf(at+".image", "image: %w", err)
		}
		defer root.Close()
	}
	process, err := p.process(i, im, root)
	if err != nil {
		return nil, err
	}
	if err := checkCommand(c, im, root, process); err != nil {
		return nil, p.Errorf(commandField(c, at), "%w", err)
	}
	for i := range c.VolumeMounts {
		if im.Builtin() {
			break
		}
		if err := checkMountPath(root, c, i); err != nil {
			return nil, p.Errorf(fmt.Sprintf("%s.volumeMounts[%d].mountPath", at, i), "%w", err)
		}
	}
	filter, err := p.seccomp(i, process.Capabilities.Bounding)
	if err != nil {
		return nil, err
	}
	return &Resolved{c, im, process, filter}, nil
}

// commandField is the field that an error about the command belongs to.
func commandField(c *Container, at string) string {
	if len(c.Command) > 0 {
		return at + ".command[0]"
	}
	return at + ".image"
}

// checkCommand looks for the command in the image.
func checkCommand(c *Container, im *Image, root *os.File, process *specs.Process) error {
	arg0, pathEnv := process.Args[0], ""
	for _, line := range process.Env {
		if value, ok := strings.CutPrefix(line, "PATH="); ok {
			pathEnv = value
		}
	}
	if im.Builtin() {
		if arg0 != BuiltinBinary && arg0 != path.Base(BuiltinBinary) {
			return fmt.Errorf("executable %q not found: %s has %s only; leave command out and give args",
				arg0, BuiltinDemo, BuiltinBinary)
		}
		return nil
	}
	err := rootfs.Explain(root, pathEnv, process.Cwd, arg0)
	if err == nil || coversAny(c, rootfs.Candidates(pathEnv, process.Cwd, arg0)) {
		return nil
	}
	var lookup *rootfs.LookPathError
	if errors.As(err, &lookup) && isLink(root, lookup.Path) && len(c.VolumeMounts) > 0 {
		return nil // the link may lead into a volume
	}
	return fmt.Errorf("image %s: %w", im.Root, err)
}

// isLink reports whether a path in the image is a symbolic link.
func isLink(root *os.File, file string) bool {
	if file == "" {
		return false
	}
	var st unix.Stat_t
	fd, err := inroot.Open(root, file, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// coversAny reports whether a mount hides one of the paths in the image.
func coversAny(c *Container, paths []string) bool {
	mounts := []string{"/proc", "/sys", "/dev"}
	for i := range c.VolumeMounts {
		mounts = append(mounts, path.Clean(c.VolumeMounts[i].MountPath))
	}
	for _, file := range paths {
		for _, mount := range mounts {
			if clean := path.Clean(file); clean == mount || strings.HasPrefix(clean, mount+"/") {
				return true
			}
		}
	}
	return false
}

// checkHostPath compares what is at a host path with what the spec says.
func (p *Pod) checkHostPath(h *HostPath) error {
	file, err := p.HostPath(h)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		switch h.Type {
		case HostPathDirectoryOrCreate, HostPathFileOrCreate:
			return nil
		case HostPathSocket, HostPathFile:
			return explain(err, "there is no %s", file)
		}
		return explain(err, "there is no %s; make it, or let type: DirectoryOrCreate make it", file)
	}
	if err != nil {
		return err
	}
	is, want := info.Mode().Type(), fs.FileMode(0)
	switch h.Type {
	case HostPathAny:
		return nil
	case HostPathDirectory, HostPathDirectoryOrCreate:
		want = fs.ModeDir
	case HostPathSocket:
		want = fs.ModeSocket
	}
	if is != want {
		return fmt.Errorf("%s is %s, not a %s", file, kindOf(is), strings.TrimSuffix(string(h.Type), "OrCreate"))
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch mode {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSocket:
		return "a socket"
	}
	return "something else (" + mode.String() + ")"
}
