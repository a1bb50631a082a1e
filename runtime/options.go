package runtime

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/kernel"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// CreateOptions say what container to create. Spec is needed.
type CreateOptions struct {
	// Bundle is the directory that relative paths of Spec are relative to;
	// the state records it. "" is the working directory.
	Bundle string
	// Spec is the container's configuration (runtime-spec, "config"). Paths
	// of namespaces and sources of mounts may be "/proc/self/fd/N" of the
	// caller. It is not changed.
	Spec *specs.Spec
	// Overlay keeps the container's writes apart from its image.
	Overlay *rootfs.Overlay
	// Stdin, Stdout and Stderr are the process's; nil is /dev/null.
	Stdin, Stdout, Stderr *os.File
	// ExtraFiles become its descriptors 3 and up.
	ExtraFiles []*os.File
	// Console is a connected unix socket that the master of the terminal
	// is sent over, where the spec asks for a terminal.
	Console *os.File
	// ConsoleAnswer makes the process wait, once it has sent the terminal,
	// until a byte was written to Console: for a receiver that sets the
	// terminal up before anything is written to it.
	ConsoleAnswer bool
	// PidFile, when not "", gets the process's pid.
	PidFile string
	// PidfdSocket, when not nil, is a connected unix socket that a pidfd of
	// the process is sent over.
	PidfdSocket *os.File
	// NoNewKeyring keeps the caller's session keyring.
	NoNewKeyring bool
	// NoPivot uses chroot(2), for a host whose root is a ramfs.
	NoPivot bool
	// Notify gives the process a socket to report its state to, as sd_notify(3)
	// does: in a directory that is mounted at /run/notify, and NOTIFY_SOCKET says
	// so. See Container.NotifySocket.
	Notify bool
	// KillWithParent ends the container when the process that created it
	// ends, however that comes (PR_SET_PDEATHSIG). It is for supervisors.
	KillWithParent bool
	// Mounts is the mount namespace in which the root and the sources of mounts
	// are, where that is not the caller's; an ordinary user's, who joins the user
	// namespace that it belongs to.
	Mounts *os.File

	id string
}

// plan checks the options. When open says so, the namespaces to join are
// opened, and the caller closes them.
func (o *CreateOptions) plan(root, id string, open bool) (c *plan, err error) {
	if o.Spec == nil {
		return nil, fmt.Errorf("there is no spec")
	}
	options, spec := *o, *o.Spec
	options.id = id
	if options.Bundle == "" {
		options.Bundle = "."
	}
	if options.Bundle, err = filepath.Abs(options.Bundle); err != nil {
		return nil, err
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	if o.Notify {
		notified(&spec, filepath.Join(root, "containers", id, notifyDir))
	}
	c = &plan{spec: &spec, options: &options, real: open}
	if c.id, err = checkProcess(spec.Process); err != nil {
		return nil, err
	}
	if c.id.filter, err = newFilter(spec.Linux.Seccomp); err != nil {
		return nil, err
	}
	if c.id.Terminal && options.Console == nil && open {
		return nil, fmt.Errorf("process.terminal: there is nobody to send the terminal to: give a console socket")
	}
	if err := c.id.ofContainer(spec.Linux.Personality, spec.Linux.MemoryPolicy); err != nil {
		return nil, err
	}
	if c.members, err = joining(&spec, open); err != nil {
		return nil, err
	}
	c.members.base = options.Mounts
	if err := check(&spec, c.members); err != nil {
		c.members.close()
		return nil, err
	}
	if rootless() && open {
		if err := c.checkRootless(); err != nil {
			c.members.close()
			return nil, err
		}
	}
	if err = c.findGroup(root, id); err != nil {
		c.members.close()
		return nil, err
	}
	c.id.withHome(c.passwd)
	c.hooks = newSetupHooks(spec.Hooks)
	c.rootfs = &rootfs.Config{
		Spec: &spec, Bundle: options.Bundle, Overlay: options.Overlay,
		UserNamespace: c.members.user() || c.real && kernel.InUserNamespace(), IDMap: c.members.idMap(&spec),
		Terminal: c.id.Terminal, NoPivot: options.NoPivot,
		Inside:   rootless() || c.members.base != nil,
		Detached: !c.members.has(unix.CLONE_NEWNS),
	}
	if hasLabel := spec.Linux.MountLabel != "" && hasSELinux(); hasLabel {
		c.rootfs.MountLabel = spec.Linux.MountLabel
	}
	if c.hooks != nil {
		root := absolute(options.Bundle, spec.Root.Path)
		if c.rootfs.Detached {
			root = "." // where the root is no other way
		}
		c.rootfs.BeforePivot = func(p *program.Program) { c.hooks.beforePivot(p, root) }
	}
	place := c.group
	if place != "" {
		place, err = cgroups.Place(c.group)
		if err != nil {
			err = fmt.Errorf("linux.cgroupsPath %q: %w", c.group, err)
		}
	}
	if err == nil {
		c.attach = open && attaches(place)
		err = c.expandCgroupMounts(place)
	}
	if err != nil {
		c.members.close()
		return nil, err
	}
	return c, nil
}

// cgroupPath is the container's group: what the spec says, or one of its own
// below /peapod. There is one tree of groups for all roots, and for pods, whose
// names have no dots.
func cgroupPath(spec *specs.Spec, root, id string) string {
	if cgroups.IsScope(spec.Linux.CgroupsPath) {
		return spec.Linux.CgroupsPath
	}
	if spec.Linux.CgroupsPath != "" {
		return filepath.Join("/", spec.Linux.CgroupsPath)
	}
	return "/peapod/" + groupName(root, id, false)
}

// groupName is unique for containers of all roots. A scope is seen to be one.
func groupName(root, id string, scope bool) string {
	if !scope {
		id += ".container"
	}
	if root == DefaultRoot() {
		return id
	}
	h := fnv.New32a()
	io.WriteString(h, root)
	return fmt.Sprintf("%s.%08x", id, h.Sum32())
}
