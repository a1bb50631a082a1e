package runtime

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// plan is what a container's creation consists of, before anything is made.
type plan struct {
	spec    *specs.Spec
	options *CreateOptions
	members *membership
	id      *identity
	rootfs  *rootfs.Config
	sources *rootfs.Sources // nil in a plan that is only listed
	gate    *gate           // where to wait for Start, or nil
	group   string          // the container's cgroup, "" where it has none
	noGroup error           // why root's has none
	attach  bool            // the process is moved into its cgroup, not born there
	// bindsGroup: mounts show the container's cgroup by its path, so that it
	// has to be there first.
	bindsGroup bool
	hooks      *setupHooks // nil where there are none
	real       bool        // it is to be performed, not only listed
}

// program compiles the plan.
func (c *plan) program() (*program.Program, error) {
	p := program.New(c.options.ExtraFiles...)
	if c.attach {
		p.Sync(syncGroup)
	}
	if rootless() {
		c.id.ownScore(p)
	}
	prologue(p)
	allCPUs(p)
	c.members.steps(p)
	if c.members.has(unix.CLONE_NEWCGROUP) {
		p.Call(unix.SYS_UNSHARE, cloneFlags(unix.CLONE_NEWCGROUP)).For("make", "the cgroup namespace")
	}
	c.session(p)
	if c.members.has(unix.CLONE_NEWNET &^ c.members.born) {
		loopback(p)
	}
	c.names(p)
	c.settings(p)
	if len(c.spec.Linux.NetDevices) > 0 || c.spec.Linux.IntelRdt != nil {
		p.Sync(syncParent)
	}

	o := processOptions{parentDeath: c.options.KillWithParent, hooks: c.hooks, answers: p.Report()}
	root, err := rootfs.Compile(p, c.rootfs, c.sources)
	if err != nil {
		return nil, err
	}
	if c.id.Terminal {
		o.terminal = newTerminal(p, c.options.Console, c.options.ConsoleAnswer, c.id.ConsoleSize, root.Master, root.Slave)
	}
	if c.gate != nil {
		c.id.look(p)
		o.answers = c.gate.steps(p)
	}
	o.streams = streamsOf(c.options.Stdin, c.options.Stdout, c.options.Stderr)
	c.id.steps(p, o)
	return p, nil
}

// prologue appends the first steps of every program.
func prologue(p *program.Program) {
	undumpable(p)
	p.CloseOthers()
	p.Call(unix.SYS_FCNTL, p.Report(), program.Sym(unix.F_SETFD, "F_SETFD"), program.Sym(unix.FD_CLOEXEC, "FD_CLOEXEC"))
}

// session appends a session of its own, and of keys.
func (c *plan) session(p *program.Program) {
	p.Call(unix.SYS_SETSID).Tolerate(unix.EPERM).For("make", "a session") // EPERM: leads one already
	if !c.options.NoNewKeyring {
		joinKeyring(p, c.options.id)
	}
}

// joinKeyring makes the session keyring one that the host's processes do not
// share (keyctl(2)). A kernel without keys has nothing to share.
func joinKeyring(p *program.Program, id string) {
	p.Call(unix.SYS_KEYCTL, program.Sym(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"), p.Str("_ses."+id)).
		Tolerate(unix.ENOSYS).For("make", "the session keyring")
}

// loopback brings the interface lo of a new network namespace up.
func loopback(p *program.Program) {
	ifreq := make([]byte, 40) // netdevice(7)
	copy(ifreq, "lo")
	ifreq[unix.IFNAMSIZ] = unix.IFF_UP
	fd := p.Var("socket")
	p.Call(unix.SYS_SOCKET, program.Sym(unix.AF_INET, "AF_INET"),
		program.Sym(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC"), program.Int(0)).Into(fd).For("bring up", "lo")
	p.Call(unix.SYS_IOCTL, fd.Value(), program.Sym(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"), p.Bytes(ifreq, "{lo, IFF_UP}")).For("bring up", "lo")
}

func (c *plan) names(p *program.Program) {
	if name := c.spec.Hostname; name != "" {
		p.Call(unix.SYS_SETHOSTNAME, p.Str(name), program.Int(len(name))).For("set the host name to", name)
	}
	if name := c.spec.Domainname; name != "" {
		p.Call(unix.SYS_SETDOMAINNAME, p.Str(name), program.Int(len(name))).For("set the domain name to", name)
	}
}

// settings appends what is set by files of procfs.
func (c *plan) settings(p *program.Program) {
	list := c.sysctls(func(string) bool { return true })
	if !rootless() {
		list = append(list, c.id.settings()...)
	}
	set(p, list)
}

// sysctls are the settings of linux.sysctl whose files are wanted, sorted.
func (c *plan) sysctls(wanted func(file string) bool) (list []setting) {
	for name, value := range c.spec.Linux.Sysctl {
		if file := "sys/" + sysctlPath(name); wanted(file) {
			list = append(list, setting{file, value, "/proc/" + file + " to " + value})
		}
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.file, b.file) })
	return list
}

// settings are those of the process alone.
func (id *identity) settings() (list []setting) {
	if id.OOMScoreAdj != nil {
		value := strconv.Itoa(*id.OOMScoreAdj)
		list = append(list, setting{"self/oom_score_adj", value, "process.oomScoreAdj " + value})
	}
	return append(list, id.labels()...)
}

// setting is a value for a file of procfs.
type setting struct{ file, value, what string }

// set appends the writing of settings: to a private procfs, never to what the
// image has at /proc.
func set(p *program.Program, list []setting) {
	if len(list) == 0 {
		return
	}
	fs, proc := p.Var("fs"), p.Var("proc")
	p.Call(unix.SYS_FSOPEN, p.Str("proc"), program.Int(unix.FSOPEN_CLOEXEC)).Into(fs).For("make", "a private procfs")
	p.Call(unix.SYS_FSCONFIG, fs.Value(), program.Sym(unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"), program.Null, program.Null, program.Int(0)).
		For("make", "a private procfs")
	p.Call(unix.SYS_FSMOUNT, fs.Value(), program.Int(unix.FSMOUNT_CLOEXEC), program.Int(0)).Into(proc).For("make", "a private procfs")
	for _, s := range list {
		fd := p.Var("file")
		p.Call(unix.SYS_OPENAT, proc.Value(), p.Str(s.file), program.Sym(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"), program.Int(0)).
			Into(fd).For("open", "/proc/"+s.file)
		p.Call(unix.SYS_WRITE, fd.Value(), p.Str(s.value), program.Int(len(s.value))).For("set", s.what)
	}
}
