package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/criu"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// RestoreOptions say how a container is restored.
type RestoreOptions struct {
	CRIU
	// Container is as for Create; its configuration is that with which the
	// container was saved, or one with the same namespaces and mounts. What its
	// process is to be comes from the images. Stdin, Stdout and Stderr take the
	// place of those pipes, files and terminals that it had from outside.
	Container CreateOptions
	// LSMProfile, "apparmor:NAME" or "selinux:LABEL", takes the place of the one
	// that the processes had; LSMMountContext that of their mounts.
	LSMProfile, LSMMountContext string
}

// Restore makes a container whose processes are those that Checkpoint, or runc,
// has saved. They go on where they were. Hooks of the kinds prestart and
// createRuntime are run; those of the container are not, for it was started
// before. What Restore made is undone when it fails. It needs root. errors.Is
// tells ErrNoCRIU and ErrExist.
func (r *Runtime) Restore(ctx context.Context, id string, o *RestoreOptions) (*Container, error) {
	c, err := r.restore(ctx, id, o)
	return c, wrap("restore", id, err)
}

func (r *Runtime) restore(ctx context.Context, id string, o *RestoreOptions) (_ *Container, err error) {
	var undo undo
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := rootlessCRIU(); err != nil {
		return nil, err
	}
	if err := CheckHost(); err != nil {
		return nil, err
	}
	create := o.Container
	create.Notify = false // see revival.mounts
	p, err := create.plan(r.root(), id, true)
	if err != nil {
		return nil, err
	}
	defer p.members.close()
	if err := p.restorable(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.ImagePath, "inventory.img")); err != nil {
		return nil, fmt.Errorf("%s has no images of processes: %w: give the path that checkpoint was given", o.ImagePath, err)
	}
	crProgram, err := criu.Find(ctx, o.Program)
	if err != nil {
		return nil, err
	}
	dir, err := o.CRIU.open("restore.log", false)
	if err != nil {
		return nil, err
	}
	defer dir.close()

	// 1. The directory, which reserves the name, and what others may know.
	c := r.newContainer(p, id)
	if err := c.register(); err != nil {
		return nil, err
	}
	v := &revival{c: c, p: p, o: o, program: crProgram}
	undo.add(func() {
		c.leaveClass()
		os.RemoveAll(c.dir)
		if v.hooked {
			c.poststop(context.WithoutCancel(ctx))
		}
	})
	if err := c.record.save(c.dir); err != nil {
		return nil, err
	}

	// 2. The cgroup, in which criu is started: what it made is in there, should
	// it fail or be killed.
	group := c.makeGroup(p.spec.Linux.Resources)
	undo.add(func() {
		if group() == nil && c.group != nil {
			c.group.Destroy(context.WithoutCancel(ctx))
		}
	})
	if err := group(); err != nil {
		return nil, err
	}

	// 3. What is mounted on.
	if err := p.makeTargets(ctx, c.dir); err != nil {
		return nil, err
	}

	// 4. The processes.
	if v.request, err = o.request(dir, p.spec.Annotations, c.group != nil); err != nil {
		return nil, err
	}
	undo.add(v.abort)
	if err := v.run(ctx); err != nil {
		if err = explainCRIU(err, crProgram, dir); p.members.user() && strings.Contains(err.Error(), "Permission denied") {
			err = fmt.Errorf("%w: the root of the container's user namespace has to be able to read the images, and to open the files for its output", err)
		}
		return nil, err
	}
	return c, nil
}

// restorable refuses what criu cannot restore.
func (c *plan) restorable() error {
	switch {
	case !c.members.has(unix.CLONE_NEWNS):
		return errors.New("linux.namespaces: there is no new mount namespace, in which criu could make the mounts")
	case c.members.joins(namespaces.Cgroup):
		return errors.New("linux.namespaces: a cgroup namespace that is joined by path: criu can only make a new one")
	case len(c.spec.Linux.NetDevices) > 0:
		return errors.New("linux.netDevices: criu does not bring network devices back: leave them out, and move them yourself")
	case c.options.Overlay != nil, c.options.KillWithParent, len(c.options.ExtraFiles) > 0:
		return errors.New("an overlay, further descriptors and the end with the parent are not for restored containers")
	case c.id.filter != nil && c.id.filter.agent != nil:
		return errors.New("linux.seccomp: SCMP_ACT_NOTIFY: criu does not restore listeners")
	}
	return nil
}

// makeTargets makes what of the root is missing of the directories and files that
// are mounted on, as the first start of a container does: by setting the root up,
// in a mount namespace that goes at once. criu does not.
func (c *plan) makeTargets(ctx context.Context, dir string) error {
	config := *c.rootfs
	config.Terminal, config.BeforePivot = false, nil
	sources, err := rootfs.Open(&config)
	if err != nil {
		return err
	}
	defer sources.Close()
	p := program.New()
	prologue(p)
	p.Call(unix.SYS_UNSHARE, cloneFlags(unix.CLONE_NEWNS)).For("make", "the mount namespace")
	if _, err := rootfs.Compile(p, &config, sources); err != nil {
		return err
	}
	return perform(ctx, p, dir)
}

// perform performs a program that executes nothing. dir is as in program.Attr.
func perform(ctx context.Context, p *program.Program, dir string) error {
	p.Send(p.Message("done"))
	p.Exit(0)
	started, err := p.Start(&program.Attr{Dir: dir})
	if err != nil {
		return err
	}
	defer started.Abort()
	_, err = started.Next(ctx)
	return advise(err)
}

// mountPoint makes the root a mount point in the mount namespace of the process:
// criu wants it to be one.
func mountPoint(p *program.Program, root string) {
	p.Call(unix.SYS_UNSHARE, cloneFlags(unix.CLONE_NEWNS)).For("make", "the mount namespace")
	p.Call(unix.SYS_MOUNT, program.Null, p.Str("/"), program.Null, program.Sym(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"), program.Null).
		For("separate the mounts from the host's", "")
	p.Call(unix.SYS_MOUNT, p.Str(root), p.Str(root), program.Null, program.Sym(unix.MS_REC|unix.MS_BIND, "MS_REC|MS_BIND"), program.Null).
		For("mount", "the root")
}

// addTime notes a time namespace, in which criu restores processes so that their
// clocks go on: what is executed in the container has to join it.
func (c *Container) addTime(pid int) error {
	if c.has(specs.LinuxNamespaceType(namespaces.Time)) {
		return nil
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", pid))
	if errors.Is(err, os.ErrNotExist) {
		return nil // before Linux 5.6
	}
	if err != nil {
		return err
	}
	if ours, err := os.Readlink("/proc/self/ns/time"); err != nil || ours == theirs {
		return err
	}
	c.record.Namespaces = append(c.record.Namespaces[:len(c.record.Namespaces):len(c.record.Namespaces)],
		specs.LinuxNamespace{Type: specs.LinuxNamespaceType(namespaces.Time)})
	return c.record.replace(c.dir)
}
