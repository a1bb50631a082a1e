package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/peapod/peapod/internal/criu"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// revival is the restoring of processes, while it goes on. criu is started in a
// mount namespace of its own, by a program that makes the container's root a
// mount there, and makes the processes as siblings: our children.
type revival struct {
	c       *Container
	p       *plan
	o       *RestoreOptions
	program *criu.Program
	request *rpc.CriuOpts

	binds  []rootfs.Bind
	extra  []*os.File       // descriptors of criu, from criu.Socket on
	opened []*os.File       // of those, ours
	master *os.File         // of the container's terminal, or nil
	said   *os.File         // what criu writes to its standard error
	criu   *program.Process // nil before it was started
	first  *os.File         // a pidfd of the container's first process
	pid    int              // that process's
	hooked bool             // hooks were run
}

// run restores the processes.
func (v *revival) run(ctx context.Context) error {
	defer v.close()
	session, theirs, err := criu.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	v.extra, v.opened = []*os.File{theirs}, []*os.File{theirs}
	if err := v.plan(); err != nil {
		return err
	}
	if err := v.start(ctx); err != nil {
		return err
	}
	theirs.Close()
	if err := v.directories(); err != nil {
		return err
	}
	if err := v.groups(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { v.criu.Kill(unix.SIGKILL) })()
	kind := rpc.CriuReqType_RESTORE
	_, err = session.Do(&rpc.CriuReq{Type: &kind, Opts: v.request}, func(n criu.Notification) error { return v.notified(ctx, n) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, criu.ErrEnded) {
		if said := criu.Errors(outputOf(v.said)); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
	}
	if err == nil && v.first == nil {
		err = errors.New("criu did not tell the container's process")
	}
	if err != nil {
		return err
	}
	session.Close()
	v.criu.Reap()
	v.criu.Close()
	v.c.child = &child{pidfd: v.first}
	return nil
}

func (v *revival) close() {
	for _, f := range v.opened {
		f.Close()
	}
	v.said.Close()
}

// plan says what takes the place of what was not saved.
func (v *revival) plan() error {
	o := v.request
	root, err := filepath.EvalSymlinks(v.c.record.Rootfs)
	if err != nil {
		return fmt.Errorf("root.path: %w", err)
	}
	o.Root, o.RstSibling, o.EvasiveDevices = &root, ptr(true), ptr(true)
	if v.o.LSMProfile != "" {
		o.LsmProfile = &v.o.LSMProfile
	}
	if v.o.LSMMountContext != "" {
		o.LsmMountContext = &v.o.LSMMountContext
	}
	if err := v.mounts(); err != nil {
		return err
	}
	v.namespaces()
	return v.streams()
}

// namespaces tells which ones are joined.
func (v *revival) namespaces() {
	for _, j := range v.p.members.join {
		switch j.kind {
		case namespaces.Network, namespaces.PID:
			v.inherit(externalKey(j.kind), j.file)
		default:
			v.request.JoinNs = append(v.request.JoinNs, &rpc.JoinNamespace{
				Ns: ptr(j.kind.ProcName()), NsFile: ptr(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), j.file.Fd())),
			})
		}
	}
}

// inherit gives criu a descriptor for what has the name key in the images.
func (v *revival) inherit(key string, f *os.File) {
	v.request.InheritFd = append(v.request.InheritFd, &rpc.InheritFd{Key: &key, Fd: ptr(int32(criu.Socket + len(v.extra)))})
	v.extra = append(v.extra, f)
}

// streams gives the processes standard descriptors in place of the host's that
// they had.
func (v *revival) streams() error {
	names, err := readStreams(v.o.ImagePath)
	if err != nil {
		return err
	}
	ours := []*os.File{v.o.Container.Stdin, v.o.Container.Stdout, v.o.Container.Stderr}
	given := map[string]bool{}
	for i, name := range names[:min(len(names), len(ours))] {
		if !inherited(name) || given[name] {
			continue
		}
		given[name] = true
		if ours[i] == nil {
			if ours[i], err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return err
			}
			v.opened = append(v.opened, ours[i])
		}
		if _, err := unix.Seek(int(ours[i].Fd()), 0, unix.SEEK_CUR); err != nil && strings.HasPrefix(name, "file[") {
			return fmt.Errorf("its descriptor %d was a file of the host's, and criu wants one again in its place, no pipe or terminal: redirect it to a file", i)
		}
		v.inherit(name, ours[i])
	}
	return nil
}

// start starts criu in the container's cgroup.
func (v *revival) start(ctx context.Context) (err error) {
	if v.said, err = memory("output", nil); err != nil {
		return err
	}
	p := program.New(v.extra...)
	prologue(p)
	if !v.o.ShellJob {
		p.Call(unix.SYS_SETPGID, program.Int(0), program.Int(0)).For("make", "a process group")
	}
	mountPoint(p, v.request.GetRoot())
	p.Executing()
	p.Call(unix.SYS_EXECVE, p.Str(v.program.Path), p.Strs(v.program.Args()), p.Strs(os.Environ())).For(opExecute, v.program.Path)
	attr := &program.Attr{Stderr: v.said, Dir: v.c.dir}
	if v.o.ShellJob {
		attr.Stdin = v.o.Container.Stdin
	}
	if v.criu, err = start(p, v.c.group, nil, attr, nil, nil); err != nil {
		return err
	}
	for {
		switch _, err := v.criu.Next(ctx); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("start criu: %w", err)
		}
	}
}

// directories opens those of the images in criu's mount namespace: it mounts in
// one of them, which it may only there.
func (v *revival) directories() error {
	for _, d := range []struct {
		path string
		fd   **int32
	}{{v.o.ImagePath, &v.request.ImagesDirFd}, {v.o.WorkPath, &v.request.WorkDirFd}} {
		if d.path == "" {
			continue
		}
		path, err := filepath.Abs(d.path)
		if err == nil {
			path, err = filepath.EvalSymlinks(path) // links would lead back from there
		}
		if err != nil {
			return err
		}
		f, err := openDirectory(fmt.Sprintf("/proc/%d/root%s", v.criu.Pid, path), false)
		if err != nil {
			return err
		}
		v.opened = append(v.opened, f)
		*d.fd = ptr(int32(f.Fd()))
	}
	return nil
}

// groups tells criu where the container's cgroup is, in each hierarchy: where it
// itself is.
func (v *revival) groups() error {
	if v.c.group == nil {
		return nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", v.criu.Pid))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			v.request.CgRoot = append(v.request.CgRoot, &rpc.CgroupRoot{Ctrl: ptr(controller), Path: ptr(fields[2])})
		}
	}
	return nil
}

// notified does what has its time while criu waits.
func (v *revival) notified(ctx context.Context, n criu.Notification) error {
	if n.File != nil {
		v.opened = append(v.opened, n.File)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	switch n.Script {
	case "setup-namespaces":
		return v.setUp(ctx, n.Pid)
	case "orphan-pts-master":
		v.master = n.File // its settings are yet to be restored
	case "post-restore":
		if err := v.sendTerminal(); err != nil {
			return err
		}
		if err := v.hold(n.Pid); err != nil {
			return err
		}
		if err := v.restrict(ctx, n.Pid); err != nil {
			return err
		}
		if err := v.c.started(v.p, n.Pid); err != nil {
			return err
		}
		return v.c.addTime(n.Pid)
	}
	return nil
}

// hold keeps the container's first process, our child.
func (v *revival) hold(pid int) error {
	if v.first != nil {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open the container's process: %w", err)
	}
	v.pid, v.first = pid, os.NewFile(uintptr(fd), "pidfd")
	return nil
}

// setUp does what is the host's part, when the namespaces are there and nothing
// is in them but the first process, which waits.
func (v *revival) setUp(ctx context.Context, pid int) error {
	if err := v.hold(pid); err != nil {
		return err
	}
	if v.p.members.has(unix.CLONE_NEWNET) {
		if err := v.network(ctx, pid); err != nil {
			return err
		}
	}
	if err := v.c.takeFromHost(v.p.spec.Linux, pid); err != nil {
		return err
	}
	h := v.p.spec.Hooks
	if h == nil {
		return nil
	}
	v.hooked = true
	return v.c.runtimeHooks(ctx, h, pid)
}

// network gives a new network namespace what the first start of a container gives
// it: criu makes an empty one.
func (v *revival) network(ctx context.Context, pid int) error {
	ns, err := namespaces.Open(namespaces.Network, fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	p := program.New()
	prologue(p)
	p.Call(unix.SYS_SETNS, p.File(ns, "network namespace"), cloneFlags(unix.CLONE_NEWNET)).For("join", "the network namespace")
	loopback(p)
	set(p, v.p.sysctls(func(file string) bool { return strings.HasPrefix(file, "sys/net/") }))
	return perform(ctx, p, v.c.dir)
}

// sendTerminal sends the master of the container's terminal to who asked for it.
func (v *revival) sendTerminal() error {
	console := v.o.Container.Console
	switch {
	case v.master == nil && console == nil:
		return nil
	case v.master == nil:
		return errors.New("process.terminal: the saved process has none: make it false")
	case console == nil:
		return errors.New("the process has a terminal, and there is nobody to send it to: give a console socket")
	}
	err := unix.Sendmsg(int(console.Fd()), []byte("/dev/ptmx"), unix.UnixRights(int(v.master.Fd())), nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return fmt.Errorf("send the terminal over the console socket: %w", err)
	}
	if v.o.Container.ConsoleAnswer {
		if _, err := console.Read(make([]byte, 1)); err != nil {
			return fmt.Errorf("wait for the answer of the console socket: %w", err)
		}
	}
	return nil
}

// abort ends what was started. criu kills what it made, but nobody else reaps
// what has become our child; before it tells that, the process is known by its
// group.
func (v *revival) abort() {
	if v.criu == nil {
		return
	}
	if !v.o.ShellJob {
		unix.Kill(-v.criu.Pid, unix.SIGKILL) // while criu, a zombie at most, has the number
	}
	v.criu.Abort()
	if !v.o.ShellJob {
		reap(-v.criu.Pid)
	}
	if v.first != nil {
		unix.PidfdSendSignal(int(v.first.Fd()), unix.SIGKILL, nil, 0)
		v.first.Close()
		reap(v.pid)
	}
	removePidFile(v.o.Container.PidFile, v.pid)
}

// reap reaps children, as wait4(2) takes their number, until there is none.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}
