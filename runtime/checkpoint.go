package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/criu"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// CheckpointOptions say how a container is saved.
type CheckpointOptions struct {
	CRIU
	// ParentPath is the directory of an earlier PreDump, relative to ImagePath:
	// only memory that was written to since is saved.
	ParentPath string
	// PreDump saves memory only, while the container goes on.
	PreDump bool
	// LeaveRunning lets the container go on afterwards.
	LeaveRunning bool
	// SkipInFlight leaves TCP connections out that are not established yet.
	SkipInFlight bool
	// LinkRemap gives files names that have none any more, where they need one.
	LinkRemap bool
	// PageServer is the address "HOST:PORT" of a "criu page-server", which
	// memory is sent to; "" writes it to ImagePath.
	PageServer string
	// Status, when not nil, gets a byte 0 when memory can be asked for
	// (LazyPages).
	Status *os.File
}

// Checkpoint saves the processes of a running or paused container with criu. They
// have ended then, and the container waits to be deleted, unless LeaveRunning or
// PreDump says otherwise; Restore makes them anew. When it fails the container
// goes on. It needs root. errors.Is tells ErrNoCRIU and ErrNotRunning.
//
// When ctx ends criu gives up where it next can without harm to the processes.
func (c *Container) Checkpoint(ctx context.Context, o *CheckpointOptions) error {
	return wrap("checkpoint", c.ID(), c.checkpoint(ctx, o))
}

func (c *Container) checkpoint(ctx context.Context, o *CheckpointOptions) error {
	if err := rootlessCRIU(); err != nil {
		return err
	}
	switch status := c.Status(); {
	case status == specs.StateRunning || status == StatePaused:
	case status == specs.StateStopped:
		return fmt.Errorf("%w: there are no processes to save", ErrNotRunning)
	default:
		return fmt.Errorf("%w: it is %s: start it first", ErrNotRunning, status)
	}
	if c.record.Seccomp != nil && c.record.Seccomp.Agent != nil {
		return errors.New("its seccomp profile notifies an agent (SCMP_ACT_NOTIFY), which criu cannot save")
	}
	for _, ns := range c.record.Namespaces {
		if ns.Path != "" && (ns.Type == specs.MountNamespace || ns.Type == specs.CgroupNamespace) {
			return fmt.Errorf("it has joined a %s namespace by path, which criu cannot make it join again", ns.Type)
		}
	}
	if !c.has(specs.MountNamespace) {
		return errors.New("it has no mount namespace of its own, in which criu could make its mounts again")
	}
	parent, err := o.parent()
	if err != nil {
		return err
	}
	server, err := o.pageServer()
	if err != nil {
		return err
	}
	program, err := criu.Find(ctx, o.Program)
	if err != nil {
		return err
	}
	if err := o.features(ctx, program); err != nil {
		return err
	}
	dir, err := o.CRIU.open("dump.log", true)
	if err != nil {
		return err
	}
	defer dir.close()
	group, err := c.cgroup()
	if err != nil && !errors.Is(err, ErrNoCgroup) {
		return err
	}
	r, err := o.request(dir, c.record.Annotations, group != nil)
	if err != nil {
		return err
	}
	r.Pid, r.Root = ptr(int32(c.process.PID)), ptr(c.record.Rootfs)
	r.LeaveRunning, r.TcpSkipInFlight, r.LinkRemap = ptr(o.LeaveRunning), ptr(o.SkipInFlight), ptr(o.LinkRemap)
	r.Ps = server
	r.NetworkLock = ptr(o.networkLock(program.Version))
	if group != nil {
		r.FreezeCgroup = ptr(group.FreezePath())
	}
	if parent != "" {
		r.ParentImg, r.TrackMem = &parent, ptr(true)
	}
	if err := c.externalNamespaces(r); err != nil {
		return err
	}
	kind := rpc.CriuReqType_PRE_DUMP
	if !o.PreDump {
		kind = rpc.CriuReqType_DUMP
		if r.ExtMnt, err = c.hostMounts(); err != nil {
			return err
		}
		if err := c.leaveStreams(r, o.ImagePath); err != nil {
			return err
		}
	}
	session, err := program.Start()
	if err != nil {
		return fmt.Errorf("start criu: %w", err)
	}
	defer session.End()
	_, err = session.Do(&rpc.CriuReq{Type: &kind, Opts: r}, func(n criu.Notification) error {
		n.File.Close()
		if n.Script == "status-ready" && o.Status != nil {
			if _, err := o.Status.Write([]byte{0}); err != nil {
				return fmt.Errorf("tell that memory can be asked for: %w", err)
			}
		}
		return context.Cause(ctx)
	})
	return explainCRIU(err, program, dir)
}

// leaveStreams tells criu to leave alone what of the standard descriptors is the
// host's, and the images what that is.
func (c *Container) leaveStreams(r *rpc.CriuOpts, dir string) error {
	names, err := c.hostStreams()
	if err != nil {
		return err
	}
	for _, name := range names {
		if external(name) {
			r.External = append(r.External, name)
		}
	}
	return writeStreams(dir, names)
}

// externalNamespaces leaves the network and pid namespaces that the container
// joined to those who made them. criu restores the others as it found them, or
// has them joined again.
func (c *Container) externalNamespaces(r *rpc.CriuOpts) error {
	for _, ns := range c.record.Namespaces {
		kind := namespaces.Kind(ns.Type)
		if ns.Path == "" || kind != namespaces.Network && kind != namespaces.PID {
			continue
		}
		// The path may be another's by now; the process is not.
		var st unix.Stat_t
		path := fmt.Sprintf("/proc/%d/ns/%s", c.process.PID, kind.ProcName())
		if err := unix.Stat(path, &st); err != nil {
			return &os.PathError{Op: "stat", Path: path, Err: err}
		}
		r.External = append(r.External, fmt.Sprintf("%s[%d]:%s", kind.ProcName(), st.Ino, externalKey(kind)))
	}
	return nil
}

// externalKey is the name of a namespace in the images, as runc has it.
func externalKey(kind namespaces.Kind) string {
	if kind == namespaces.PID {
		return "extRootPidNS"
	}
	return "extRootNetNS"
}

// parent checks ParentPath.
func (o *CheckpointOptions) parent() (string, error) {
	if o.ParentPath == "" {
		return "", nil
	}
	if filepath.IsAbs(o.ParentPath) {
		return "", fmt.Errorf("the parent path %s: give it relative to %s", o.ParentPath, o.ImagePath)
	}
	dir := filepath.Join(o.ImagePath, o.ParentPath)
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
	}
	if err != nil {
		return "", fmt.Errorf("the parent path: %w", err)
	}
	return o.ParentPath, nil
}

func (o *CheckpointOptions) pageServer() (*rpc.CriuPageServerInfo, error) {
	if o.PageServer == "" {
		return nil, nil
	}
	host, text, err := net.SplitHostPort(o.PageServer)
	port, e := strconv.ParseUint(text, 10, 16)
	if err != nil || e != nil || host == "" || port == 0 {
		return nil, fmt.Errorf("the page server %q: give ADDRESS:PORT", o.PageServer)
	}
	return &rpc.CriuPageServerInfo{Address: &host, Port: ptr(int32(port))}, nil
}

// networkLock is how criu keeps packets from connections while it saves them: by
// iptables, as it does by itself, or by nftables where that is not installed. Where
// no connections are to be saved it need not, which it knows since 3.18.
func (o *CheckpointOptions) networkLock(v criu.Version) rpc.CriuNetworkLockMethod {
	if !o.TCPEstablished && v >= 31800 {
		return rpc.CriuNetworkLockMethod_SKIP
	}
	for _, name := range []string{"iptables-restore", "ip6tables-restore"} {
		if _, err := exec.LookPath(name); err != nil {
			return rpc.CriuNetworkLockMethod_NFTABLES
		}
	}
	return rpc.CriuNetworkLockMethod_IPTABLES
}

// features refuses what the kernel has not, before anything is done.
func (o *CheckpointOptions) features(ctx context.Context, program *criu.Program) error {
	if !o.PreDump && !o.LazyPages && o.ParentPath == "" {
		return nil
	}
	f, err := program.Features(ctx)
	switch {
	case err != nil:
		return err
	case o.LazyPages && !f.LazyPages:
		return fmt.Errorf("lazy pages: this kernel, or criu %v, has no userfaultfd (CONFIG_USERFAULTFD)", program.Version)
	case (o.PreDump || o.ParentPath != "") && !f.MemTrack:
		return errors.New("pre-dump: this kernel does not tell which memory was written to (CONFIG_MEM_SOFT_DIRTY): do without")
	}
	return nil
}
