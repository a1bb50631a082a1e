package namespaces

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// NewOwned makes a user namespace with the maps given, as [NewUser] does, and new
// namespaces of the given kinds (network, ipc, uts, mount) that belong to it, set
// up as the options say. The set has the user namespace too. It is for ordinary
// users.
//
// The mount namespace is a copy of the caller's, and gets what is mounted in that
// later, but gives nothing back.
func (o Options) NewOwned(ctx context.Context, maps IDMaps, kinds ...Kind) (*Set, error) {
	if _, err := o.plan(slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return k == Mount })); err != nil {
		return nil, fail("make", "namespaces", err)
	}
	user, err := NewUser(ctx, maps)
	if err != nil {
		return nil, err
	}
	set := &Set{files: map[Kind]*os.File{User: user}}
	if err := o.fill(ctx, set, kinds); err != nil {
		set.Close()
		return nil, fail("make", fmt.Sprintf("namespaces %v", kinds), err)
	}
	return set, nil
}

// fill makes the namespaces by a program, and opens them before it ends.
func (o Options) fill(ctx context.Context, set *Set, kinds []Kind) error {
	p := program.New()
	p.CloseOthers()
	p.Call(unix.SYS_SETNS, p.File(set.files[User], "user namespace"), program.Sym(unix.CLONE_NEWUSER, "CLONE_NEWUSER")).For("join", "the user namespace")
	becomeRoot(p)
	// A change of credentials makes it undumpable, and its namespaces could not
	// be opened.
	p.Call(unix.SYS_PRCTL, program.Sym(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), program.Int(1))
	flags := 0
	for _, k := range kinds {
		flags |= k.Flag()
	}
	p.Call(unix.SYS_UNSHARE, program.Int(flags)).For("make", "the namespaces")
	if flags&unix.CLONE_NEWNS != 0 {
		p.Call(unix.SYS_MOUNT, program.Null, p.Str("/"), program.Null, program.Sym(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"), program.Null).
			For("separate the mounts from the host's", "")
	}
	if err := o.steps(p); err != nil {
		return err
	}
	p.Sync("made")
	p.Exit(0)
	proc, err := p.Start(&program.Attr{Dir: os.TempDir()})
	if err != nil {
		return err
	}
	defer proc.Abort()
	if _, err := proc.Next(ctx); err != nil {
		return err
	}
	for _, k := range kinds {
		if set.files[k], err = Open(k, fmt.Sprintf("/proc/%d/ns/%s", proc.Pid, k.ProcName())); err != nil {
			return err
		}
	}
	return nil
}

// steps are those of plan, as system calls. The options have been checked.
func (o Options) steps(p *program.Program) error {
	if o.Hostname != "" {
		p.Call(unix.SYS_SETHOSTNAME, p.Str(o.Hostname), program.Int(len(o.Hostname))).For("set hostname", o.Hostname)
	}
	if o.Domainname != "" {
		p.Call(unix.SYS_SETDOMAINNAME, p.Str(o.Domainname), program.Int(len(o.Domainname))).For("set domainname", o.Domainname)
	}
	if o.Loopback {
		ifreq := make([]byte, 40) // netdevice(7)
		copy(ifreq, "lo")
		ifreq[unix.IFNAMSIZ] = unix.IFF_UP
		fd := p.Var("socket")
		p.Call(unix.SYS_SOCKET, program.Int(unix.AF_INET), program.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), program.Int(0)).Into(fd).For("bring up", "interface lo")
		p.Call(unix.SYS_IOCTL, fd.Value(), program.Sym(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"), p.Bytes(ifreq, "{lo, IFF_UP}")).For("bring up", "interface lo")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Sysctls)) {
		value := o.Sysctls[name]
		path, _, err := parseSysctl(name)
		if err != nil {
			return err
		}
		fd := p.Var("file")
		p.Call(unix.SYS_OPENAT, program.Int(0), p.Str("/proc/sys/"+path), program.Int(unix.O_WRONLY|unix.O_CLOEXEC), program.Int(0)).Into(fd).For("set sysctl", name)
		p.Call(unix.SYS_WRITE, fd.Value(), p.Str(value), program.Int(len(value))).For("set sysctl", name)
	}
	return nil
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	// Path is the directory that it is mounted on.
	Path string
	// Data are its options, "size=64k,mode=1777".
	Data string
	// Flags are MS_NOSUID and the like.
	Flags uintptr
}

// MountTmpfs mounts file systems inside of the mount namespace ns, which belongs
// to a user namespace of the caller's.
func MountTmpfs(ns *os.File, list ...Tmpfs) error {
	p := program.New()
	p.CloseOthers()
	if err := enterSteps(p, ns); err != nil {
		return err
	}
	for _, m := range list {
		p.Call(unix.SYS_MOUNT, p.Str("tmpfs"), p.Str(m.Path), p.Str("tmpfs"), program.Int(m.Flags), p.Str(m.Data)).For("mount a tmpfs on", m.Path)
	}
	return runProgram(p)
}

// Remove removes the directory path and all below it, where files in it may
// belong to other ids of a user namespace with these maps. It takes rm(1), which
// is executed in such a namespace.
func (m IDMaps) Remove(ctx context.Context, path string) error {
	user, err := NewUser(ctx, m)
	if err != nil {
		return err
	}
	defer user.Close()
	p := program.New()
	p.CloseOthers()
	p.Call(unix.SYS_SETNS, p.File(user, "user namespace"), program.Sym(unix.CLONE_NEWUSER, "CLONE_NEWUSER")).For("join", "the user namespace")
	becomeRoot(p)
	p.Executing()
	args, env := p.Strs([]string{"rm", "-rf", "--", path}), p.Strs([]string{"PATH=/usr/bin:/bin"})
	p.Call(unix.SYS_EXECVE, p.Str("/bin/rm"), args, env).For("execute", "rm")
	proc, err := p.Start(&program.Attr{Dir: os.TempDir()})
	if err != nil {
		return err
	}
	defer proc.Close()
	for err == nil {
		_, err = proc.Next(ctx)
	}
	status, _ := proc.Reap()
	if status.ExitStatus() != 0 {
		return fail("remove", path, fmt.Errorf("rm in a user namespace: exit status %d", status.ExitStatus()))
	}
	return nil
}

// ChangeGroup gives the directory at path, seen from the mount namespace ns, to a
// group of the user namespace that ns belongs to, and the mode, with the bits of
// chmod(2).
func ChangeGroup(ns *os.File, path string, gid int, mode uint32) error {
	p := program.New()
	p.CloseOthers()
	if err := enterSteps(p, ns); err != nil {
		return err
	}
	p.Call(unix.SYS_FCHOWNAT, program.Int(0), p.Str(path), program.Int(-1), program.Int(gid), program.Int(unix.AT_SYMLINK_NOFOLLOW)).
		For("change the group of", path)
	p.Call(unix.SYS_FCHMODAT, program.Int(0), p.Str(path), program.Octal(mode)).For("change the mode of", path)
	return runProgram(p)
}
